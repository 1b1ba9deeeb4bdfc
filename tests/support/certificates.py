"""Certificates of a CA that only tests believe."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

NAMES = ("127.0.0.1", "localhost")


class Certificates:
    """A CA, and the certificate of one server in files that can be renewed."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.ca_file = directory / "ca.pem"
        self.cert_file = directory / "tls.crt"
        self.key_file = directory / "tls.key"
        self._ca = trustme.CA()
        self._ca.cert_pem.write_to_path(self.ca_file)
        self.renew()

    def renew(self, *names: str, ended: bool = False) -> None:
        """Issue a new certificate into the same files, each replaced at once."""
        not_after = datetime.now(UTC) + timedelta(days=-1 if ended else 1)
        issued = self._ca.issue_cert(*(names or NAMES), not_after=not_after)
        put(self.key_file, issued.private_key_pem.bytes())
        put(self.cert_file, b"".join(each.bytes() for each in issued.cert_chain_pems))

    @property
    def options(self) -> dict[str, Path]:
        """Options of a service, by field name."""
        return {
            "tls_cert_file": self.cert_file,
            "tls_key_file": self.key_file,
            "tls_ca_file": self.ca_file,
        }

    @property
    def environment(self) -> dict[str, str]:
        """The same by environment name."""
        return {name.upper(): str(path) for name, path in self.options.items()}


def put(path: Path, content: bytes) -> None:
    """Replace a file whole."""
    draft = path.with_suffix(".new")
    draft.write_bytes(content)
    draft.replace(path)

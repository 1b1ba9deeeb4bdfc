"""How a local stack speaks TLS: every process of it, with one certificate."""

import ssl
from pathlib import Path
from typing import Self

from pydantic import model_validator

from common.http.tls import client_context
from common.options import Options, option


class TlsOptions(Options):
    """What `up` and `run` read from the environment; the certificate must name 127.0.0.1."""

    tls_cert_file: Path | None = option("TLS_CERT_FILE", None, "Certificate chain (PEM).")
    tls_key_file: Path | None = option("TLS_KEY_FILE", None, "Its private key (PEM).")
    tls_ca_file: Path | None = option("TLS_CA_FILE", None, "CAs (PEM) that it must be of.")

    @model_validator(mode="after")
    def certificate_has_its_key(self) -> Self:
        """Refuse half of what HTTPS needs."""
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("TLS_CERT_FILE and TLS_KEY_FILE go together")
        return self

    @property
    def scheme(self) -> str:
        """What addresses begin with."""
        return "http" if self.tls_cert_file is None else "https"

    def context(self) -> ssl.SSLContext | None:
        """Whom the command itself believes."""
        return client_context(self.tls_ca_file)

    def environment(self) -> dict[str, str]:
        """The same options for each process."""
        given = {
            "TLS_CERT_FILE": self.tls_cert_file,
            "TLS_KEY_FILE": self.tls_key_file,
            "TLS_CA_FILE": self.tls_ca_file,
        }
        return {name: str(path.resolve()) for name, path in given.items() if path is not None}


def believed() -> ssl.SSLContext | None:
    """Whom a command believes that asks a stack of the same environment."""
    return TlsOptions.load({}).context()

"""The machine: its clock, its limits, and who listens on a port."""

import errno
import resource
import socket
import time

from cli.doctor.finding import Ward

NOT_BEFORE = 1_760_000_000  # October 2025: an earlier clock was never set
MOST_SKEW_SECONDS = 5.0
SPARE_DESCRIPTORS = 256
SET_CLOCK = "let chrony, systemd-timesyncd or ntpd set the clock"


def check_clock(ward: Ward, now: float | None = None) -> None:
    """Leases run by a clock that cannot jump; what is stored is timed by this one."""
    now = time.time() if now is None else now
    if now < NOT_BEFORE:
        ward.fail("clock", f"the clock says {utc(now)}", SET_CLOCK)
    else:
        ward.ok("clock", f"the clock says {utc(now)}")


def utc(seconds: float) -> str:
    """A moment for people."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def check_skew(ward: Ward, where: str, theirs: float, now: float) -> None:
    """Machines whose clocks differ give retention and dashboards two opinions of one moment."""
    skew = theirs - now
    if abs(skew) > MOST_SKEW_SECONDS:
        ward.fail("clock", f"{where} is {skew:+.0f} s from this machine", f"{SET_CLOCK}, on both")


def check_descriptors(ward: Ward, wanted: int, limit: int | None = None) -> None:
    """A connection, a log file and a stream are a descriptor each."""
    if limit is None:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    wanted += SPARE_DESCRIPTORS
    if 0 <= limit < wanted:
        ward.warn(
            "descriptors",
            f"a process may open {limit} files; with all its streams it needs {wanted}",
            f"ulimit -n {wanted}, or LimitNOFILE= of the unit",
        )
    else:
        ward.ok("descriptors", f"a process may open {limit} files")


def check_port(ward: Ward, host: str, port: int) -> None:
    """Whether the service could listen there."""
    if port == 0:
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            _say_why(ward, host, port, error)
            return
    ward.ok("port", f"PORT: {host}:{port} is free")


def _say_why(ward: Ward, host: str, port: int, error: OSError) -> None:
    where = f"PORT: {host}:{port}"
    if error.errno == errno.EADDRINUSE:
        ward.warn(
            "port",
            f"{where} is taken",
            "well if that is this service, running; otherwise give another PORT, or see who it is: "
            f"ss -ltnp 'sport = :{port}'",
        )
    elif error.errno == errno.EACCES:
        ward.fail("port", f"{where} is for root alone", "use a PORT above 1023")
    else:
        ward.fail("port", f"{where}: {error.strerror}", "HOST must be an address of this machine")

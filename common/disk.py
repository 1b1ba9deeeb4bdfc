"""What a failing disk means to whoever asked for something."""

import errno

from common.errors import DiskFull, TelemetryError, Unavailable

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE})
PASSING = NO_SPACE | NO_DESCRIPTOR
GONE = frozenset({errno.EROFS, errno.ENOENT})  # read-only, or the directory moved away


def refusal(error: OSError) -> TelemetryError | None:
    """The answer to a request that the disk could not serve for now; None for a disk that broke."""
    if error.errno in NO_SPACE:
        return DiskFull(f"the disk takes no more: {error.strerror}")
    if error.errno in NO_DESCRIPTOR:
        return Unavailable(f"no file can be opened: {error.strerror}")
    if error.errno in GONE:
        return Unavailable(f"the data directory cannot be written to: {error.strerror}")
    return None

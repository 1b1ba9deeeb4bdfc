"""What a test needs of its machine: without it the test is skipped, but never where CI looks."""

import os
import shutil

import pytest


def need(what: str, there: bool) -> None:
    """Skip the test that asks, with the reason; with CI=true a missing thing is a failure."""
    if there:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must have {what}")
    pytest.skip(f"needs {what}")


def need_root() -> None:
    """Mounting, and attaching to processes, are root's."""
    need("root", os.geteuid() == 0)


def need_programs(*names: str) -> None:
    """Programs of the system."""
    for name in names:
        need(f"the program {name}", shutil.which(name) is not None)

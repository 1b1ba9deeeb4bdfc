"""Processes of a stack that cannot do what they are for."""

from pathlib import Path

import aiohttp
import pytest

from cli.supervisor import ProcessPlan, StackError, Supervisor
from tests.support.ports import free_port


@pytest.mark.parametrize("code", [2, 3])
async def test_a_process_that_starting_again_would_not_help_is_told_with_its_log(
    tmp_path: Path, code: int
) -> None:
    """Its options are wrong, or its port was taken in the moment that it started."""
    command = ("/bin/sh", "-c", f"echo why it ends; exit {code}")
    supervisor = Supervisor([ProcessPlan("it", "", {}, free_port(), command=command)], tmp_path, {})
    async with aiohttp.ClientSession() as session:
        with pytest.raises(StackError, match=r"it ended(.|\n)*why it ends"):
            await supervisor.start(session, ["it"])
    await supervisor.stop()
    assert supervisor.restarts() == {}

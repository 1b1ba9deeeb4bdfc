"""A process's background work: watched, and vital or not."""

import asyncio
from pathlib import Path

import pytest

from common.lifecycle import EXIT_TASK_DIED, Lifecycle
from common.lock import DirectoryTakenError, lock_directory, unlock


async def break_down() -> None:
    raise RuntimeError("broken")


async def test_a_task_that_dies_makes_the_process_unready_and_no_more() -> None:
    lifecycle = Lifecycle()
    await asyncio.wait([lifecycle.spawn("work", break_down())])
    await asyncio.sleep(0)
    assert lifecycle.not_ready_reasons() == ["work: died: RuntimeError('broken')"]
    assert not lifecycle.stopping.is_set()


async def test_a_vital_task_that_dies_ends_the_process() -> None:
    lifecycle = Lifecycle()
    await asyncio.wait([lifecycle.spawn("work", break_down(), vital=True)])
    await asyncio.sleep(0)
    assert lifecycle.stopping.is_set()
    assert lifecycle.exit_code == EXIT_TASK_DIED


async def test_cancelling_vital_work_is_no_death() -> None:
    lifecycle = Lifecycle()
    lifecycle.spawn("work", asyncio.sleep(3600), vital=True)
    await lifecycle.cancel_tasks()
    assert not lifecycle.problems


def test_a_directory_is_for_one_at_a_time(tmp_path: Path) -> None:
    lock = lock_directory(tmp_path)
    with pytest.raises(DirectoryTakenError):
        lock_directory(tmp_path)
    unlock(lock)
    unlock(lock_directory(tmp_path))

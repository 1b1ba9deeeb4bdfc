"""The table of mutants is of the code as it is. `python -m tests.mutation` runs them."""

from pathlib import Path

import pytest

from tests.mutation.mutants import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mutant", MUTANTS, ids=range(len(MUTANTS)))
def test_every_mutant_still_fits_the_code(mutant: Mutant) -> None:
    text = (ROOT / mutant.file).read_text()
    assert text.count(mutant.right) == 1
    changed = text.replace(mutant.right, mutant.wrong)
    compile(changed, mutant.file, "exec")
    assert changed != text
    assert all((ROOT / test.partition("::")[0]).exists() for test in mutant.tests)


def test_there_are_enough_of_each_kind() -> None:
    folders = [mutant.file.split("/")[0] for mutant in MUTANTS]
    assert all(folders.count(folder) >= 8 for folder in ("common", "broker", "proxy"))
    assert len(set(MUTANTS)) == len(MUTANTS) >= 30

"""``python -m tests.mutation [N ...]``: break the code in one place after the other.

A mutant is killed when a test fails, or hangs, because of it. Leaves with 1 when too many live.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.mutation.mutants import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
PARTS = ("api", "broker", "cli", "collector", "common", "proxy", "streamer", "tests")
LONGEST_SECONDS = 900
KILLED_SHARE = 0.9


def main() -> None:
    """Run the mutants that are named by number, or all of them, and print what became of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("numbers", nargs="*", type=int, default=range(len(MUTANTS)))
    numbers = parser.parse_args().numbers
    with tempfile.TemporaryDirectory(prefix="mutation-") as directory:
        tree = Path(directory)
        copy(tree)
        said = [run(tree, number) for number in numbers]
    killed = sum(said)
    print(f"{killed} of {len(said)} killed", flush=True)
    sys.exit(0 if killed >= KILLED_SHARE * len(said) else 1)


def copy(tree: Path) -> None:
    """Everything that the tests need, in another place."""
    for part in PARTS:
        shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tree)


def run(tree: Path, number: int) -> bool:
    """Whether a mutant is killed; the tree is afterwards as it was."""
    mutant = MUTANTS[number]
    path = tree / mutant.file
    right = path.read_text()
    path.write_text(right.replace(mutant.right, mutant.wrong))
    try:
        by = killer(tree, mutant)
    finally:
        path.write_text(right)
    line = mutant.wrong.strip().splitlines() or ["(taken out)"]
    print(f"{number:3}  {by or 'SURVIVED':70}  {mutant.file}: {line[0][:60]}", flush=True)
    return bool(by)


def killer(tree: Path, mutant: Mutant) -> str:
    """The first test that fails, or what else happened; empty when all pass."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [*command, "--timeout", "60", *mutant.tests],
            cwd=tree,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "it hangs"
    if done.returncode == 0:
        return ""
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0].split()[1] if failed else f"exit code {done.returncode}"


if __name__ == "__main__":
    main()

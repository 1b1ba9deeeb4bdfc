"""``python -m tests.chaos --seconds 600 --seed 1``: chaos for as long as one likes."""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

from tests.chaos.run import run_chaos


def main() -> None:
    """Run, print the figures, and leave with 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as directory:
        outcome = asyncio.run(run_chaos(Path(directory), given.seed, given.seconds))
    lines = [json.dumps(outcome.report(), indent=1)]
    lines += [f"BROKEN: {fault}" for fault in outcome.faults()]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.exit(1 if outcome.faults() else 0)


if __name__ == "__main__":
    main()

"""``python -m tests.chaos.judge HOW STRIKE SEED``: a short `telemetry chaos` on a broken stack."""

import sys

from cli.chaos.plan import ChaosPlan
from cli.chaos.report import run_chaos_command


def main() -> None:
    """Print the report as JSON and leave with the verdict."""
    way, strike, seed = sys.argv[1:]
    plan = ChaosPlan(
        seed=int(seed),
        seconds=8.0,
        brokers=1,
        proxies=1,
        collectors=1,
        only=(strike,),
        rest_seconds=15.0,  # what is kept past its lease comes back, however busy the machine
        child=("tests.chaos.broken", way),
    )
    sys.exit(run_chaos_command([plan], as_json=True))


if __name__ == "__main__":
    main()

"""How long a message is under way: ``python -m benchmarks.latency``.

Single messages at an even rate, each with fsync before its answer, from a producer process through
one broker to a consumer process that acks them.
"""

import argparse
import contextlib
import shutil
import tempfile
from pathlib import Path

from benchmarks.ours import ROOT, TOKEN, start_broker
from cli.bench.latency import measure_latency, percentile

PERCENTILES = (50, 90, 99, 99.9)


def main() -> None:
    """Print the percentiles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=1000, help="messages a second")
    parser.add_argument("--seconds", type=int, default=20)
    given = parser.parse_args()
    directory = Path(tempfile.mkdtemp(dir=ROOT, prefix=".bench-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, directory)
        server = stack.enter_context(start_broker(directory))
        found = measure_latency(server.address, TOKEN.get_secret_value(), given.rate, given.seconds)
    print(f"| {given.rate} a second, ms | " + " | ".join(f"p{p:g}" for p in PERCENTILES) + " |")
    print("| --- |" + " --- |" * len(PERCENTILES))
    for what, times in (("to the answer", found.answered), ("to the consumer", found.delivered)):
        row = [1000 * percentile(times, p) for p in PERCENTILES]
        print(f"| {what} | " + " | ".join(f"{ms:.1f}" for ms in row) + " |")


if __name__ == "__main__":
    main()

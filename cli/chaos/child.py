"""``python -m cli.chaos.child DIRECTORY SERVICE``: a service of a chaos run.

It is ``python -m SERVICE``, but that it goes, even paused, with who started it, and that the log
files of a broker or collector are witnessed, see ``disk``.
"""

import signal
import sys
from functools import partial
from pathlib import Path

from broker.app import create_app as create_broker
from broker.options import BrokerOptions
from cli.chaos.disk import WitnessedFiles
from cli.child import follow_parent
from collector.app import create_app as create_collector
from collector.options import CollectorOptions
from common.http.server import serve
from proxy.app import create_app as create_proxy
from proxy.options import ProxyOptions
from streamer.app import create_app as create_streamer
from streamer.options import StreamerOptions


def main() -> None:
    """Run until the end, which is seldom peaceful."""
    follow_parent(signal.SIGKILL)
    directory, service = sys.argv[1:]
    del sys.argv[1:]
    files = WitnessedFiles(Path(directory))
    if service == "broker":
        serve(BrokerOptions.load({}), partial(create_broker, files=files))
    elif service == "collector":
        serve(CollectorOptions.load({}), partial(create_collector, files=files))
    elif service == "proxy":
        serve(ProxyOptions.load({}), create_proxy)
    else:
        serve(StreamerOptions.load({}), create_streamer)


if __name__ == "__main__":
    main()

"""``python -m cli`` is the command `telemetry`."""

from cli.entry import main

main()

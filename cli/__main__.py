"""``python -m cli`` is the command `telemetry`."""

from cli.main import main

main()

"""The command `telemetry`: the only place that knows every service."""

"""`telemetry chaos`: the whole stack under misfortunes that a seed decides, and what came of it."""

"""`telemetry bench`: what this machine makes of the stack, in figures that can be compared."""

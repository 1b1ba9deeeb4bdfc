"""`telemetry export`: a store's points as files for the lake."""

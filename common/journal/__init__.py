"""The append-only log that the broker's partitions and the collector's spool are kept in."""

"""The store in a bucket of an InfluxDB 2 server."""

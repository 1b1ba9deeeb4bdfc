"""The queue as the streamer and the collector see it: an interface, and a client for each engine."""

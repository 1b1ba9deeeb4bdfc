"""The queue as streamer and collector see it: an interface, and a client for each engine."""

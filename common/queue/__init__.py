"""The queue as the streamer and the collector see it: an interface, and clients behind it."""

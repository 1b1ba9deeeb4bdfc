"""Real faults in real broker processes on real file systems."""

"""The store in a VictoriaMetrics server or cluster."""

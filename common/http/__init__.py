"""HTTP as every service speaks it: the edge, bodies, answers, event streams, the server."""

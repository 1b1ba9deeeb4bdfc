"""Ring, membership, forwarding: many brokers behind one address."""

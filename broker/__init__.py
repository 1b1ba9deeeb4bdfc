"""One partition log, its queue, groups and leases, and their HTTP face."""

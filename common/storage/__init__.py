"""Where points come to rest: one interface, a package for each kind."""

"""Where points come to rest: one interface, a module per kind of store."""

"""Where points rest: one interface, one contract, several stores behind it."""

"""The store in one file of this machine."""

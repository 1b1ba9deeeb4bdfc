"""Measurements, each a command that prints what it did and on what."""

"""Consume, validate, spool, ack, write."""

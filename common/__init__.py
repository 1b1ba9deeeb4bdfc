"""The shelf every service takes from; it imports no service."""

"""The store in text files, one line a sample."""

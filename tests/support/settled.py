"""What a process that forks imports last: its forks neither search nor copy what it has."""

import gc

gc.collect()
gc.freeze()

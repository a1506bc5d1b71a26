"""One run: the loop, what ends it, checkpoints, devices; and the process that trains for a worker."""

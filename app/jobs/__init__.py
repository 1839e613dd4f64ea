"""The queue edge: what the worker process serves."""

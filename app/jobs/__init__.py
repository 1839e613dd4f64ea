"""The queue edge: one job per file."""

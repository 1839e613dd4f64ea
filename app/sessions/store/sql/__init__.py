"""The SQL of sessions: a statement for each thing that the store does."""

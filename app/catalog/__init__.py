"""The flows that an org can run, and their revisions."""

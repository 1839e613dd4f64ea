"""The queue of due steps, and wake-ups for who waits: both may be lost at any instant."""

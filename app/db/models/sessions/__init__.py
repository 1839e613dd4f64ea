"""Tables of a session: what it is, what came in, what ran, what was said."""

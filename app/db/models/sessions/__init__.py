"""Tables of a session: its row, its events, log, messages and values, invocations and steps."""

"""One turn of a session: an event is admitted, the statechart moves, its end is announced."""

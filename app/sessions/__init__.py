"""Running conversations: admitting events, running steps, reading what happened."""

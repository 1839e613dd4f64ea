"""What a session carries: its model, how that is stored, and the values stored beside it."""

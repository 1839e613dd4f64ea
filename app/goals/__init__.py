"""Goals of a turn: what the model reads of each, the tool that achieves it, and its effect."""

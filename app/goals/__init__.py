"""Goals of a turn: what the model is told of each, the tool that achieves it, and its effect."""

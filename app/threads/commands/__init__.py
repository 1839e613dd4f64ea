"""What clients have done to threads: each command is one change of a session."""

"""What an agent is: a request template with declared variables."""

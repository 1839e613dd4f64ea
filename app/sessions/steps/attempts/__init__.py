"""One attempt of a step: what it reads, whom it asks, and what comes of it."""

"""Steps of an invocation, as a worker runs them."""

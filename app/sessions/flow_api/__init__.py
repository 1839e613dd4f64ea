"""Sessions in the words of the flow endpoints."""

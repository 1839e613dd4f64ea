"""Requests that are done once and answered the same, by the key that their client gives them."""

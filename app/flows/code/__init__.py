"""Flows written in Python: loading and checking a package of them."""

"""The org's account of what models took."""

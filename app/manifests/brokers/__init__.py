"""One kind per file; the registry finds them by importing this folder."""

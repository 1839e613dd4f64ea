"""The text of manifests: read within limits."""

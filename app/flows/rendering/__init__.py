"""Templates as text: Jinja2, the sandbox for those of manifests, and plain placeholders."""

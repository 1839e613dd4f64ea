"""JSON Schemas, and what their patterns and references may cost."""

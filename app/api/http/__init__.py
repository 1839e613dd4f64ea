"""What every endpoint shares: problem documents, bodies, media types, logs, OpenAPI."""

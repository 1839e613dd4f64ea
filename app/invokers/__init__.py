"""What a step calls: models, HTTP APIs, or nothing at all. Never the database."""

"""Chat models over the network: all that touches pydantic-ai, imported when a provider is used."""

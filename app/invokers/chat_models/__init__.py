"""Chat models over the network; what touches pydantic-ai is imported when a provider is used."""

"""Model providers, warmed up."""

from importlib import import_module

from app.invokers.chat_models import providers


def load_provider(name: str) -> None:
    """Imports what the provider needs: seconds, which are not those that the tests are about."""
    import_module("app.invokers.chat_models.connection")
    import_module(f"{providers.__name__}.{name}")

"""The interface by which a worker resolves the connections that templates name."""

from collections.abc import Mapping
from typing import Any, Protocol


class ConnectionResolver(Protocol):
    """Turns the names in a template of an org into what the invoker needs to connect."""

    async def resolve(
        self, org_id: str, invoker: str, config: Mapping[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        """The built-in invoker and its whole config, keys and passwords included.

        Args:
            org_id: the org of the session.
            invoker: as the template names it: a built-in one, or a Provider of the org.
            config: the template's own.

        Raises:
            InvokerError: a name leads nowhere, or a secret cannot be used.
            ValueError: the config is wrong.
        """

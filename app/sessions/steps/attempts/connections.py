"""The interface by which a worker resolves the connections that templates name."""

from collections.abc import Mapping
from typing import Any, Protocol

from app.invokers.tool import ServerTool


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

    async def resolve_tool(self, org_id: str, tool: ServerTool) -> tuple[str, dict[str, Any]]:
        """The invoker that runs a tool, and its whole config.

        Raises:
            InvokerError: a name leads nowhere, or a secret cannot be used.
        """

    async def skill_text(self, org_id: str, skill: Mapping[str, Any]) -> str:
        """The text of a skill's version.

        Args:
            org_id: the org of the session.
            skill: `skill_id` and `version`; or `text`, where the session has kept it.

        Raises:
            InvokerError: it is not there any more.
        """

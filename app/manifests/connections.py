"""Resolves the Providers, ApiConnections and Secrets that templates name, when a step runs."""

from collections.abc import Mapping
from typing import Any

import asyncpg
from pydantic import SecretStr

from app.access.crypto import DecryptionError, SecretLocation, Vault
from app.invokers.config import InvokerConfig
from app.invokers.invoker import InvokerError
from app.invokers.pool import built_in_invokers
from app.invokers.template_config import HttpTemplateConfig, ProviderTemplateConfig
from app.invokers.tool import ServerTool
from app.manifests.model.secret_hosts import HostRule, secret_uses

_RESOURCE = "SELECT spec FROM resource WHERE org_id = $1 AND kind = $2 AND name = $3"

_SKILL = """
SELECT v.body FROM skill_version v JOIN skill s ON s.id = v.skill_id
WHERE s.org_id = $1 AND s.id = $2 AND v.version = $3"""

# `last_used_at` is kept to the minute: one write a minute, however busy the flow is.
_SECRETS = """
WITH used AS (
  UPDATE secret SET last_used_at = clock_timestamp()
  WHERE org_id = $1 AND name = ANY($2)
    AND (last_used_at IS NULL OR last_used_at < clock_timestamp() - interval '1 minute')
)
SELECT name, key_id, ciphertext, allowed_hosts, hosts, coalesce(value_by, created_by) AS giver,
  expires_at IS NOT NULL AND expires_at <= clock_timestamp() AS expired
FROM secret WHERE org_id = $1 AND name = ANY($2)
"""

_CREDENTIALS = ("apiKey", "username", "password")


class ManifestConnections:
    """The resolver of workers. Nothing is kept: a new key is used from the next step on.

    Args:
        pool: where the resources are.
        vault: decrypts the secrets.
    """

    def __init__(self, pool: asyncpg.Pool, vault: Vault) -> None:
        self._pool = pool
        self._vault = vault
        self._built_in = frozenset(built_in_invokers())

    async def resolve(
        self, org_id: str, invoker: str, config: Mapping[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        """See `app.sessions.steps.attempts.connections.ConnectionResolver`."""
        if invoker == "http" and "connection" in config:
            return invoker, await self._http(org_id, config)
        if invoker in self._built_in or "." in invoker:
            return invoker, dict(config)
        return "llm", await self._llm(org_id, invoker, config)

    async def resolve_tool(self, org_id: str, tool: ServerTool) -> tuple[str, dict[str, Any]]:
        """See `app.sessions.steps.attempts.connections.ConnectionResolver`."""
        if tool.type == "mcp":
            return "mcp", await self._mcp(org_id, tool.config)
        return "http", await self._http(org_id, {"connection": tool.config["connection"]})

    async def skill_text(self, org_id: str, skill: Mapping[str, Any]) -> str:
        """See `app.sessions.steps.attempts.connections.ConnectionResolver`."""
        if "text" in skill:
            return str(skill["text"])
        text: str | None = await self._pool.fetchval(
            _SKILL, org_id, skill["skill_id"], skill["version"]
        )
        if text is None:
            raise InvokerError("The skill is not there any more.")
        return text

    async def mcp_server(self, org_id: str, spec: Mapping[str, Any]) -> dict[str, Any]:
        """The config by which the server of an McpServer is called.

        Raises:
            InvokerError: a secret is not there, or cannot be used.
        """
        headers: dict[str, Any] = spec["headers"]
        secrets = await self._secrets(org_id, "McpServer", spec)
        return {
            "url": spec["url"],
            "token": secrets[spec["auth"]] if "auth" in spec else None,
            "headers": _with_secrets(headers, secrets),
        }

    async def _mcp(self, org_id: str, config: Mapping[str, Any]) -> dict[str, Any]:
        spec = await self._spec(org_id, "McpServer", config["server"])
        if config["tool"] not in spec.get("allowedTools", [config["tool"]]):
            raise InvokerError("The tool is not allowed any more.")
        return await self.mcp_server(org_id, spec)

    async def _llm(self, org_id: str, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
        spec = await self._spec(org_id, "Provider", name)
        _refuse_others(config, ProviderTemplateConfig, f"Provider {name!r}")
        secrets = await self._secrets(org_id, "Provider", spec)
        parameters = {_snake(key): value for key, value in spec["parameters"].items()}
        return {
            "model": spec["model"],
            "stream": spec.get("stream", True),
            **config,
            "parameters": parameters | (config.get("parameters") or {}),
            "provider": spec["type"],
            "base_url": spec.get("baseUrl"),
            "api_key": secrets[spec["apiKey"]] if "apiKey" in spec else None,
        }

    async def _http(self, org_id: str, config: Mapping[str, Any]) -> dict[str, Any]:
        name = config["connection"]
        if not isinstance(name, str):
            raise InvokerError("config.connection must be the name of an ApiConnection")
        _refuse_others(config, HttpTemplateConfig, f"ApiConnection {name!r}")
        own = {key: value for key, value in config.items() if key != "connection"}
        spec = await self._spec(org_id, "ApiConnection", name)
        connection = spec["connection"]
        headers: dict[str, Any] = connection.get("headers", {})
        secrets = await self._secrets(org_id, "ApiConnection", spec)
        plain = {_snake(key): value for key, value in connection.items() if key != "headers"}
        keys = {
            _snake(field): secrets[connection[field]]
            for field in _CREDENTIALS
            if field in connection
        }
        return {
            **plain,
            **keys,
            **own,
            "headers": _with_secrets(headers, secrets),
        }

    async def _spec(self, org_id: str, kind: str, name: str) -> dict[str, Any]:
        spec: dict[str, Any] | None = await self._pool.fetchval(_RESOURCE, org_id, kind, name)
        if spec is None:
            raise InvokerError(f"There is no {kind} {name!r}.")
        return spec

    async def _secrets(self, org_id: str, kind: str, spec: Mapping[str, Any]) -> dict[str, str]:
        """The values of the secrets that a connection names, by name."""
        uses = secret_uses(kind, spec)
        if not uses:
            return {}
        rows = await self._pool.fetch(_SECRETS, org_id, list(uses))
        found = {row["name"]: self._open(org_id, row, uses[row["name"]]) for row in rows}
        if missing := [name for name in uses if name not in found]:
            raise InvokerError(f"There is no Secret {missing[0]!r}.")
        return found

    def _open(self, org_id: str, row: asyncpg.Record, hosts: frozenset[str]) -> str:
        if row["expired"]:
            raise InvokerError(f"Secret {row['name']!r} has expired.")
        rule = HostRule(row["allowed_hosts"], row["hosts"], row["giver"])
        if outside := rule.outside(hosts):
            raise InvokerError(f"Secret {row['name']!r} may not be sent to {outside[0]}.")
        place = SecretLocation(org_id, "Secret", row["name"])
        try:
            return self._vault.decrypt(row["key_id"], row["ciphertext"], place)
        except DecryptionError as error:
            raise InvokerError(str(error)) from None


def _refuse_others(config: Mapping[str, Any], model: type[InvokerConfig], whose: str) -> None:
    """Refuses what would lead the credentials of a connection to another place."""
    known = model.model_fields.keys()
    if others := sorted(config.keys() - known):
        raise InvokerError(
            f"{', '.join(others)}: not to be set beside {whose}; a template may set "
            f"{', '.join(sorted(known))}"
        )


def _with_secrets(headers: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, Any]:
    """The headers of a connection, each with its secret in place of the secret's name."""
    return {
        name: SecretStr(secrets[value["secret"]]) if isinstance(value, dict) else value
        for name, value in headers.items()
    }


def _snake(name: str) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name)

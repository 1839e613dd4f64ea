"""Secrets of a release that knew no hosts may go on being sent where they are sent."""

import httpx
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from app.db.engine import Database
from app.db.migrate import scripts
from tests.support.manifests import manifest, many, post, secret

HOSTS = {
    "key": ["api.openai.com:443", "xn--mnchen-3ya.example:443"],
    "client": ["api.example.com:80", "login.example.com:8443"],
    "bearer": ["[2001:db8::1]:443"],
    "unused": [],
}


async def test_the_hosts_of_their_connections_count(
    client: httpx.AsyncClient, database: Database
) -> None:
    signs_in = {"authMethod": "oauth", "username": "client", "password": "client"}
    signs_in |= {"tokenUrl": "https://login.example.com:8443/token"}
    api = {"baseUrl": "http://api.example.com/v1", **signs_in}
    headed = {"baseUrl": "https://MÜNCHEN.example", "headers": {"X-Key": {"secret": "key"}}}
    documents = [
        *(secret(name) for name in HOSTS),
        manifest("Provider", "models", {"type": "openai", "model": "m", "apiKey": "key"}),
        manifest(
            "Provider", "open", {"type": "openai", "model": "m", "baseUrl": "http://x.example"}
        ),
        manifest("ApiConnection", "api", {"connection": api}),
        manifest("ApiConnection", "headed", {"connection": headed}),
        manifest("McpServer", "tools", {"url": "https://[2001:db8::1]/mcp", "auth": "bearer"}),
    ]
    await post(client, "apply", many(*documents))
    assert await noted(client) == HOSTS  # as the service itself reads the same URLs

    async with database.engine.connect() as connection:
        await connection.run_sync(to, "0028")
        await connection.run_sync(to, "head")
    rows = await database.pool.fetch("SELECT name, hosts FROM secret")
    assert {row["name"]: sorted(row["hosts"]) for row in rows} == HOSTS
    assert {user for row in rows for user in row["hosts"].values()} == {None}


async def noted(client: httpx.AsyncClient) -> dict[str, list[str]]:
    found = {}
    for name in HOSTS:
        described = await post(client, "describe/Secret", name=name)
        found[name] = described["data"]["status"]["hosts"]
    return found


def to(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(scripts()))
    config.attributes["connection"] = connection
    if revision == "head":
        command.upgrade(config, revision)
    else:
        command.downgrade(config, revision)

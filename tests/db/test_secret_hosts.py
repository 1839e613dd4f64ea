"""Secrets of a release that knew no hosts may go on being sent where they are sent."""

import json

import httpx
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from app.access.caller import KeyScope
from app.db.engine import Database
from app.db.migrate import scripts
from tests.support.http import NewKey
from tests.support.manifests import manifest, many, post, secret

HOSTS = {
    "key": ["api.openai.com:443", "xn--mnchen-3ya.example:443"],
    "client": ["http://api.example.com:80", "login.example.com:8443"],
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
    # The old form of a host stays beside the new one.
    expected = HOSTS | {"client": ["api.example.com:80", *HOSTS["client"]]}
    assert {row["name"]: sorted(row["hosts"]) for row in rows} == expected
    assert {user for row in rows for user in row["hosts"].values()} == {None}


# What a Secret's hosts were when they knew no schemes, and what is noted beside them.
LEARNED = {
    "plain.example:80": "http://plain.example:80",
    "plain.example:8080": "http://plain.example:8080",
    "both.example:8080": None,  # somebody's connection to it has TLS
    "tls.example:443": None,  # whatever a connection over http says
    "gone.example:8080": None,
}
DECLARED = {
    "plain.example": ["http://plain.example:80", "http://plain.example:8080"],
    "both.example": [],
    "tls.example:443": [],
    "other.example:80": ["http://other.example:80"],
}
URLS = [
    "http://plain.example",
    "http://plain.example:8080/x",
    "http://both.example:8080",
    "https://both.example",
    "http://tls.example:443",
]


async def test_what_was_reached_over_http_alone_may_be_reached_so_again(
    client: httpx.AsyncClient, database: Database
) -> None:
    header = {"headers": {"X-Key": {"secret": "learned"}, "X-Other": {"secret": "declared"}}}
    connections = [
        manifest("ApiConnection", f"c{number}", {"connection": {"baseUrl": url, **header}})
        for number, url in enumerate(URLS)
    ]
    await post(client, "apply", many(secret("learned"), secret("declared"), *connections))
    async with database.engine.connect() as connection:
        await connection.run_sync(to, "0033")
    await database.pool.execute(
        "UPDATE secret SET hosts = $1 WHERE name = 'learned'", dict.fromkeys(LEARNED, "usr_1")
    )
    await database.pool.execute(
        "UPDATE secret SET allowed_hosts = $1 WHERE name = 'declared'", list(DECLARED)
    )

    async with database.engine.connect() as connection:
        await connection.run_sync(to, "head")
    rows = await database.pool.fetch("SELECT hosts, allowed_hosts FROM secret ORDER BY name DESC")
    noted = [host for host in LEARNED.values() if host is not None]
    assert rows[0]["hosts"] == dict.fromkeys([*LEARNED, *noted], "usr_1")
    assert rows[0]["allowed_hosts"] is None
    added = sorted(host for hosts in DECLARED.values() for host in hosts)
    assert rows[1]["allowed_hosts"] == [*DECLARED, *added]

    async with database.engine.connect() as connection:
        await connection.run_sync(to, "0033")
    rows = await database.pool.fetch("SELECT hosts, allowed_hosts FROM secret ORDER BY name DESC")
    assert rows[0]["hosts"] == dict.fromkeys(LEARNED, "usr_1")
    assert set(DECLARED) < set(rows[1]["allowed_hosts"])


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


async def test_nobody_gave_a_value_of_which_it_is_not_known_who_did(
    client: httpx.AsyncClient, database: Database, new_key: NewKey
) -> None:
    """Else who made a Secret might point the value of whoever changed it since."""
    maker = await new_key(user="eve@acme.example", scopes=[KeyScope.WRITE])
    headers = {"Authorization": f"Bearer {maker.api_key}"}
    made = many(secret("changed"), secret("kept"))
    answer = await client.post("/api/v1/cli/apply/", content=made, headers=headers)
    assert answer.status_code == 200, answer.text
    await post(client, "apply", secret("changed", "of-another-one"))
    async with database.engine.connect() as connection:
        await connection.run_sync(to, "0034")
    await database.pool.execute("UPDATE secret SET value_by = NULL")
    async with database.engine.connect() as connection:
        await connection.run_sync(to, "head")

    for name, status in (("changed", 403), ("kept", 200)):
        elsewhere = {"type": "openai", "model": "m", "baseUrl": "https://e.example", "apiKey": name}
        document = json.dumps(manifest("Provider", name, elsewhere))
        answer = await client.post("/api/v1/cli/apply/", content=document, headers=headers)
        assert answer.status_code == status, answer.text

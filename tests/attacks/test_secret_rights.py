"""Where a Secret is sent is a right: who may only write points it nowhere else, by no way."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from app.access.caller import KeyScope
from app.access.crypto import Vault
from app.db.engine import Database
from app.invokers.chat_models.config import LlmConfig
from app.invokers.invoker import InvokerError
from app.invokers.web.hosts import check_host, host_of, is_host
from app.kit.invalid import InvalidValueError
from app.manifests.brokers.bases.connection import MAX_NOTED
from app.manifests.connections import ManifestConnections
from app.settings import Settings
from tests.support.http import NewKey
from tests.support.http_server import HttpServer, Says
from tests.support.manifests import manifest, many, post, secret, send

VALUE = "hunter2-very-secret"
GOOD, EVIL = "https://api.example.com/v1", "https://evil.example/v1"
Apply = Callable[..., Awaitable[httpx.Response]]


def connection(kind: str, url: str, **other: Any) -> dict[str, Any]:
    """One that sends the Secret `key` to a URL."""
    match kind:
        case "Provider":
            spec = {"type": "openai", "model": "m", "baseUrl": url, "apiKey": "key"}
        case "McpServer":
            spec = {"url": url, "auth": "key", "allowedTools": []}
        case "oauth":
            kind = "ApiConnection"
            names = {"username": "key", "password": "key"}
            method = {"authMethod": "oauth", "tokenUrl": f"{GOOD}/token"}
            spec = {"connection": {"baseUrl": url, **method, **names}}
        case "header":
            kind = "ApiConnection"
            spec = {"connection": {"baseUrl": url, "headers": {"X-Key": {"secret": "key"}}}}
        case _:
            method = {"authMethod": "token", "apiKey": "key"}
            spec = {"connection": {"baseUrl": url, **method}}
    return manifest(kind, "used", {**spec, **other})


KINDS = ["Provider", "ApiConnection", "McpServer", "oauth", "header"]
ELSEWHERE = [
    EVIL,
    "http://api.example.com/v1",
    "https://api.example.com:8443/v1",
    "https://api.example.com.evil.example/v1",
    "https://evil.example/api.example.com",
]


@pytest.fixture
async def by(client: httpx.AsyncClient, new_key: NewKey) -> dict[str, Apply]:
    """How several people apply documents, each with a key of their own."""
    people = {
        "admin": {"user": "ann@acme.example"},
        "writer": {"user": "bob@acme.example", "scopes": [KeyScope.WRITE]},
        "other": {"user": "eve@acme.example", "scopes": [KeyScope.WRITE]},
        "reader": {"user": "joe@acme.example", "scopes": [KeyScope.READ]},
    }
    found: dict[str, Apply] = {}
    for name, arguments in people.items():
        key = await new_key(**arguments)

        async def apply(
            *documents: Any, api_key: str = key.api_key, verb: str = "apply", **params: Any
        ) -> httpx.Response:
            headers = {"Authorization": f"Bearer {api_key}"}
            return await client.post(
                f"/api/v1/cli/{verb}/", content=many(*documents), params=params, headers=headers
            )

        found[name] = apply
    return found


async def applied(answer: Awaitable[httpx.Response]) -> Any:
    got = await answer
    assert got.status_code == 200, got.text
    return got.json()["data"]


async def refused(answer: Awaitable[httpx.Response], status: int = 403) -> str:
    got = await answer
    assert got.status_code == status, got.text
    assert VALUE not in got.text
    detail: str = got.json()["detail"]
    return detail


async def hosts(client: httpx.AsyncClient) -> list[str]:
    described = await post(client, "describe/Secret", name="key")
    found: list[str] = described["data"]["status"]["hosts"]
    return found


@pytest.mark.parametrize("kind", KINDS)
async def test_a_writer_points_an_admins_secret_at_no_other_host(
    client: httpx.AsyncClient, by: dict[str, Apply], kind: str
) -> None:
    await applied(by["admin"](secret(value=VALUE), connection(kind, GOOD)))
    assert await hosts(client) == ["api.example.com:443"]
    for url in ELSEWHERE if kind == "ApiConnection" else ELSEWHERE[:1]:
        assert "scope 'admin'" in await refused(by["writer"](connection(kind, url)))
    await refused(by["writer"](connection(kind, EVIL), dry_run=True))
    another = {**connection(kind, EVIL), "metadata": {"name": "another"}}
    await refused(by["writer"](another, secret("mine")))
    described = await post(client, f"describe/{connection(kind, GOOD)['kind']}", name="used")
    assert "evil" not in str(described)
    assert await hosts(client) == ["api.example.com:443"]

    await applied(by["writer"](connection(kind, f"{GOOD}/below")))  # the host that it is for
    await applied(by["admin"](connection(kind, EVIL)))  # an admin may
    assert await hosts(client) == ["api.example.com:443", "evil.example:443"]


async def test_a_token_server_is_a_host_as_the_api_is(by: dict[str, Apply]) -> None:
    await applied(by["admin"](secret(value=VALUE), connection("oauth", GOOD)))
    stolen = connection("oauth", GOOD)
    stolen["spec"]["connection"]["tokenUrl"] = f"{EVIL}/token"
    await refused(by["writer"](stolen))
    await refused(by["writer"](connection("oauth", EVIL)))  # the token is as good as the secret


async def test_what_goes_over_tls_goes_nowhere_in_the_clear(by: dict[str, Apply]) -> None:
    """Whoever sits between would read it."""
    for rules in ({}, {"allowedHosts": ["api.example.com"]}):
        await applied(by["admin"](secret(value=VALUE, **rules), connection("oauth", GOOD)))
        for port in ("", ":443"):
            clear = f"http://api.example.com{port}/v1"
            to_token = connection("oauth", GOOD)
            to_token["spec"]["connection"]["tokenUrl"] = clear
            for stolen in (to_token, *(connection(kind, clear) for kind in KINDS)):
                stolen["metadata"] = {"name": "stolen"}
                said = await refused(by["writer"](stolen))
                assert f"to http://api.example.com{port or ':80'}" in said


async def test_an_admin_may_have_a_secret_sent_in_the_clear_and_says_so(
    client: httpx.AsyncClient, by: dict[str, Apply]
) -> None:
    clear = connection("Provider", "http://localhost:9000/v1")
    await applied(by["admin"](secret(value=VALUE), clear))
    assert await hosts(client) == ["http://localhost:9000"]
    await refused(by["writer"](connection("Provider", "https://localhost:9000/v1")))
    await applied(by["writer"](connection("Provider", "http://localhost:9000/v2")))

    said = ["localhost", "localhost:9000"]
    declared = manifest("Secret", "key", {"config": {"allowedHosts": said}})
    await applied(by["admin"](declared))
    assert "do not name http://localhost:9000" in await refused(
        by["admin"](connection("ApiConnection", "http://localhost:9000")), 400
    )
    declared["spec"]["config"]["allowedHosts"] = ["http://LOCALHOST", "localhost:9000"]
    await applied(by["admin"](declared, connection("ApiConnection", "http://localhost:9000")))
    shown = (await post(client, "describe/Secret", name="key"))["data"]
    assert shown["spec"]["config"]["allowedHosts"] == ["http://localhost", "localhost:9000"]
    assert (await applied(by["admin"](shown)))["operation"] == "unchanged"


async def test_a_provider_without_a_url_is_asked_at_its_own(
    client: httpx.AsyncClient, by: dict[str, Apply]
) -> None:
    own = connection("Provider", GOOD)
    del own["spec"]["baseUrl"]
    await applied(by["admin"](secret(value=VALUE), own))
    assert await hosts(client) == ["api.openai.com:443"]
    await refused(by["writer"](connection("Provider", GOOD)))
    other = {**own, "spec": {**own["spec"], "type": "anthropic"}}
    await refused(by["writer"](other))


async def test_who_gave_the_value_points_it_anywhere_and_others_do_not(
    by: dict[str, Apply],
) -> None:
    await applied(by["writer"](secret(value=VALUE), connection("Provider", GOOD)))
    await applied(by["writer"](connection("Provider", EVIL)))
    await refused(by["other"](connection("Provider", "https://third.example")))
    await applied(by["other"](connection("Provider", EVIL)))


async def test_a_host_that_was_noted_before_does_not_get_the_value_of_another(
    by: dict[str, Apply], client: httpx.AsyncClient, database: Database, settings: Settings
) -> None:
    """A trap that was set with a value of one's own, and waits for the real one."""
    trap = connection("ApiConnection", EVIL)
    await applied(by["writer"](secret(value="of-the-writer"), trap))
    assert await hosts(client) == ["evil.example:443"]
    await applied(by["admin"](secret(value=VALUE)))

    assert await hosts(client) == []
    with pytest.raises(InvokerError, match=r"may not be sent to evil\.example:443"):
        await resolved(database, settings)
    await applied(by["writer"](connection("ApiConnection", f"{EVIL}/x")))
    assert await hosts(client) == []
    await applied(by["admin"](connection("ApiConnection", GOOD)))
    assert await hosts(client) == ["api.example.com:443"]


async def test_a_secret_that_is_made_anew_inherits_nothing(
    by: dict[str, Apply], client: httpx.AsyncClient, database: Database, settings: Settings
) -> None:
    """Nor do the connections that a former one of its name was sent by."""
    await applied(by["admin"](secret(value=VALUE), connection("ApiConnection", GOOD)))
    said = await refused(by["writer"](verb="delete/Secret", name="key"), 409)
    assert said == "Secret 'key' is used by ApiConnection used."
    for kind, name in (("ApiConnection", "used"), ("Secret", "key")):
        assert (await by["writer"](verb=f"delete/{kind}", name=name)).status_code == 200
    trap = connection("ApiConnection", EVIL)
    await applied(by["writer"](secret(value="of-the-writer"), trap))
    await applied(by["admin"](secret(value=VALUE)))

    assert await hosts(client) == []
    with pytest.raises(InvokerError, match=r"may not be sent to evil\.example:443"):
        await resolved(database, settings)
    await refused(by["writer"]({**trap, "metadata": {"name": "another"}}))
    await refused(by["other"]({**connection("ApiConnection", GOOD), "metadata": {"name": "third"}}))


async def test_the_rules_of_a_secret_are_not_a_writers_to_change(
    client: httpx.AsyncClient, by: dict[str, Apply]
) -> None:
    await applied(by["admin"](secret(value=VALUE, allowedHosts=["API.example.com:443"])))
    await refused(by["writer"](connection("Provider", EVIL)))
    wider = manifest("Secret", "key", {"config": {"allowedHosts": ["evil.example"]}})
    for rules in (wider, manifest("Secret", "key", {"config": {}})):
        assert "where Secret 'key' may be sent" in await refused(by["writer"](rules))
    assert await hosts(client) == ["api.example.com:443"]
    # Not even an admin points it past what its manifest says.
    said = await refused(by["admin"](connection("Provider", EVIL)), 400)
    assert "allowedHosts of Secret 'key' do not name evil.example:443" in said
    await applied(by["writer"](connection("Provider", GOOD)))
    await applied(by["admin"](wider, connection("Provider", EVIL)))


async def test_a_secret_for_admins_is_named_changed_and_deleted_by_admins(
    client: httpx.AsyncClient, by: dict[str, Apply]
) -> None:
    rules = {"allowedHosts": ["api.example.com"], "usableBy": "admin"}
    await applied(by["admin"](secret(value=VALUE, **rules)))
    described = await post(client, "describe/Secret", name="key")
    assert described["data"]["spec"] == {"config": rules}
    assert (await applied(by["admin"](described["data"])))["operation"] == "unchanged"
    await refused(by["writer"](connection("Provider", GOOD)))
    await refused(by["writer"](secret(value="another-value")))
    await refused(by["writer"](manifest("Secret", "key", {"config": {"usableBy": "write"}})))
    await refused(by["writer"](verb="delete/Secret", name="key"))
    await applied(by["admin"](connection("Provider", GOOD)))
    # What does not touch where it goes is no use of it.
    await applied(by["writer"](connection("Provider", GOOD, model="other")))
    # Another path of the host is, and another provider's way to send it.
    await refused(by["writer"](connection("Provider", f"{GOOD}/below", model="other")))
    await refused(by["writer"](connection("Provider", GOOD, model="other", type="anthropic")))


async def test_a_secret_for_admins_stays_at_its_place(by: dict[str, Apply]) -> None:
    """In a header that servers write down, it would be read there."""
    rules = {"allowedHosts": ["api.example.com"], "usableBy": "admin"}
    bearer, header = connection("ApiConnection", GOOD), connection("header", GOOD)
    await applied(by["admin"](secret(value=VALUE, **rules), bearer))
    said = await refused(by["writer"](header))
    assert said == (
        "The usableBy of Secret 'key' asks for an API key with scope 'admin': have an admin apply "
        "this."
    )
    moved = connection("ApiConnection", GOOD)
    moved["spec"]["connection"]["headers"] = {"X-Forwarded-For": {"secret": "key"}}
    answer = await by["writer"](moved, dry_run=True)
    place = ["spec", "connection", "headers", "X-Forwarded-For", "secret"]
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (403, place)
    bearer["spec"]["connection"]["timeout"] = 5
    await applied(by["writer"](bearer))
    await applied(by["admin"](header))


async def test_the_hosts_that_are_learned_are_bounded(
    by: dict[str, Apply], database: Database, client: httpx.AsyncClient
) -> None:
    """Each step that sends the Secret reads them."""
    await applied(by["writer"](secret(value=VALUE), connection("Provider", GOOD)))
    noted = {f"x{number}.example:443": None for number in range(MAX_NOTED)}
    await database.pool.execute("UPDATE secret SET hosts = $1", noted)
    answer = await by["writer"](connection("Provider", EVIL))
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["loc"] == ["spec", "apiKey"]
    assert await hosts(client) == sorted(noted)
    await applied(by["writer"](connection("Provider", "https://x0.example")))


async def test_a_trial_tells_nobody_what_a_value_is(by: dict[str, Apply]) -> None:
    await applied(by["admin"](secret(value=VALUE)))
    for person, verb, params in (("writer", "apply", {"dry_run": True}), ("reader", "diff", {})):
        right, wrong = [
            await applied(by[person](secret(value=value), verb=verb, **params))
            for value in (VALUE, "a-guess-that-is-wrong")
        ]
        assert (right["operation"], right["diff"]) == (wrong["operation"], wrong["diff"])
    assert (await applied(by["admin"](secret(value=VALUE))))["operation"] == "unchanged"


async def test_a_trial_needs_the_rights_of_an_apply(by: dict[str, Apply]) -> None:
    await applied(by["admin"](secret(value=VALUE), connection("Provider", GOOD)))
    await refused(by["reader"](connection("Provider", GOOD), dry_run=True))
    await refused(by["writer"](connection("Provider", EVIL), dry_run=True))
    # Comparing is for who may only read, and saves nothing.
    await applied(by["reader"](connection("Provider", EVIL), verb="diff"))


async def resolved(database: Database, settings: Settings) -> dict[str, Any]:
    connections = ManifestConnections(database.pool, Vault(settings.security.encryption_keys))
    async with database.transaction() as db:
        org_id = (await db.exec(text("SELECT id FROM org"))).scalar_one()  # type: ignore[call-overload]
    return (await connections.resolve(org_id, "http", {"connection": "used"}))[1]


async def test_the_host_is_judged_again_when_a_secret_is_sent(
    by: dict[str, Apply], database: Database, settings: Settings
) -> None:
    """A connection that was changed past the checks, as by a process of the release before."""
    await applied(by["admin"](secret(value=VALUE), connection("ApiConnection", GOOD)))
    assert (await resolved(database, settings))["api_key"] == VALUE
    for url in ELSEWHERE:
        async with database.transaction() as db:
            change = (
                "UPDATE resource SET spec = jsonb_set(spec::jsonb, '{connection,baseUrl}', :url)"
            )
            await db.exec(text(change), params={"url": f'"{url}"'})  # type: ignore[call-overload]
        with pytest.raises(InvokerError, match="may not be sent to"):
            await resolved(database, settings)


async def test_a_redirect_takes_no_secret_along(
    client: httpx.AsyncClient, by: dict[str, Apply], settings: Settings
) -> None:
    """An McpServer is asked as soon as it is applied."""
    settings.security.egress_allow = ["127.0.0.0/8"]
    async with HttpServer() as server, HttpServer() as other:
        server.script(*[Says("", 307, {"Location": f"{other.url}/mcp"})] * 4)
        data = await applied(
            by["admin"](secret(value=VALUE), connection("McpServer", f"{server.url}/mcp"))
        )
        assert "its tools are not known" in str(data)
        assert server.requests
        assert other.requests == []


HOSTS = [
    "https://x.example",
    "ftp://x.example",
    "http://",
    "http://x.example/",
    "http://http://x.example",
    "x.example%2f",
    "x.example/y",
    "x.example:0",
    "x.example:99999",
    "a@b.example",
    "",
    "x y",
    "*",
    "*.x.example",
    "[::1",
    "x.example:",
]
# What a rule says, and addresses that it is and is not about.
RULES = {
    "api.example.com": (
        "https://api.example.com https://API.example.COM./v1 https://api.example.com:81/x",
        "http://api.example.com http://api.example.com:443 HTTP://API.example.com.:81/x"
        " https://api.example.com.evil.example https://evil.example/api.example.com"
        " https://xapi.example.com https://x.api.example.com https://example.com"
        " https://api.example.com@evil.example https://evil.example#api.example.com",
    ),
    "API.example.com.:8443": (
        "https://api.example.com:8443 https://api.example.com:08443",
        "http://api.example.com:8443 https://api.example.com https://api.example.com:443 https://api.example.com:84430",
    ),
    "bücher.example": (
        "https://xn--bcher-kva.example https://BÜCHER.example",
        "https://bucher.example https://bücher.example.evil",
    ),
    "[2001:DB8::1]": (
        "https://[2001:db8::1]/ https://[2001:DB8::1]:8443/",
        "https://[2001:db8::2]/ https://[2001:db8::11]/",
    ),
    "http://API.example.com": (
        "http://api.example.com http://api.example.com:8080/x",
        "https://api.example.com https://api.example.com:80 http://api.example.com.evil.example",
    ),
    "http://[::1]:08080": (
        "http://[::1]:8080/x",
        "https://[::1]:8080 http://[::1] http://[::2]:8080",
    ),
    "8.8.8.8": ("https://8.8.8.8", "https://8.8.8.80 https://8.8.8.8.evil https://134744072"),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_about_the_host_that_a_url_leads_to(rule: str) -> None:
    allowed = check_host(rule)
    inside, outside = (urls.split() for urls in RULES[rule])
    assert [is_host(host_of(url), allowed) for url in inside] == [True] * len(inside)
    assert [is_host(host_of(url), allowed) for url in outside] == [False] * len(outside)


# Ways to write a host that some readers of URLs take for another one.
SPELLINGS = """
    api.example.com API.EXAMPLE.COM. api%2eexample.com api.example.com%2f.evil.example
    api.example.com\\ evil.example\\.api.example.com evil.example\\@api.example.com
    api.example.com\\@evil.example evil.example;@api.example.com evil.example,api.example.com
    api。example.com ⓐpi.example.com api­.example.com faß.example ﬀ.example api.example.com:
    api.example.com:0443 134744072 0x08080808 8.8.8 010.8.8.8 [::ffff:8.8.8.8] [fe80::1%25eth0] ..
"""


def test_the_host_that_is_judged_is_the_one_that_is_sent_to() -> None:
    """By what sends to models, too, which once read addresses in a way of its own."""
    judged = 0
    for spelling in SPELLINGS.split():
        for url in (f"https://{spelling}", f"http://{spelling}/v1", f"https:\\\\{spelling}/@x"):
            try:
                host = host_of(url)
            except InvalidValueError:
                continue
            sent = LlmConfig(provider="openai", base_url=url, model="m").url()
            assert host_of(sent) == host
            assert set("%\\@;,") & set(host) == set()
            judged += 1
    assert judged


async def test_a_host_of_a_rule_is_a_host(client: httpx.AsyncClient) -> None:
    for host in HOSTS:
        answer = await send(client, "apply", secret(allowedHosts=[host]))
        assert answer.status_code == 400, host
        assert answer.json()["errors"][0]["loc"] == ["spec", "config", "allowedHosts", 0]

"""Nothing of the process's environment goes with a tenant's calls, or sends them elsewhere."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from app.invokers.http import HttpInvoker
from app.invokers.invoker import InvocationContext, InvokerError
from app.invokers.llm import LlmInvoker
from app.invokers.mcp import open_connection
from app.invokers.mcp_servers.config import McpConfig
from app.invokers.pool import Invokers
from app.invokers.web.http_client import guarded_client
from app.settings import LlmSettings
from tests.support.http_server import HttpServer
from tests.support.providers import load_provider

CANARY = "of-the-environment"
NOBODY = "http://127.0.0.1:9"  # nobody listens there
LOCAL = ("127.0.0.0/8",)
_NAMES = """
    API_KEY ADMIN_KEY AUTH_TOKEN ORG_ID ORGANIZATION ORGANIZATION_ID PROJECT PROJECT_ID
    WEBHOOK_SECRET WEBHOOK_SIGNING_KEY PROFILE IDENTITY_TOKEN FEDERATION_RULE_ID SERVICE_ACCOUNT_ID
    WORKSPACE_ID SCOPE BETAS API_VERSION API_TYPE
"""
VARIABLES = {
    **{f"{sdk}_{name}": CANARY for sdk in ("OPENAI", "ANTHROPIC") for name in _NAMES.split()},
    "OPENAI_CUSTOM_HEADERS": f"X-Custom: {CANARY}\nAuthorization: Bearer {CANARY}",
    "ANTHROPIC_CUSTOM_HEADERS": f"X-Custom: {CANARY}\nX-Api-Key: {CANARY}",
    "OPENAI_BASE_URL": NOBODY,
    "ANTHROPIC_BASE_URL": NOBODY,
    **{
        name: NOBODY
        for proxy in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        for name in (proxy, proxy.lower())
    },
    "NO_PROXY": "nowhere.example",
    "no_proxy": "nowhere.example",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"machine 127.0.0.1 login {CANARY} password {CANARY}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))


async def ask_a_model(url: str, provider: str, **config: str) -> None:
    load_provider(provider)
    given = {"provider": provider, "base_url": url, "model": "m", "egress_allow": LOCAL, **config}
    invoker = LlmInvoker.from_config(given)
    try:
        await invoker.invoke("hi", InvocationContext("stp_1", timeout=10))
    finally:
        await invoker.close()


async def send_to_an_api(url: str) -> None:
    invoker = HttpInvoker.from_config({"base_url": url, "egress_allow": LOCAL})
    try:
        await invoker.invoke("{}", InvocationContext("stp_1"))
    finally:
        await invoker.close()


async def sign_in_and_send(url: str) -> None:
    """The server gives no token: what was sent for one is looked at."""
    config = {"auth_method": "oauth", "token_url": f"{url}/token", "username": "u", "password": "p"}
    invoker = HttpInvoker.from_config({"base_url": url, "egress_allow": LOCAL, **config})
    try:
        await invoker.invoke("{}", InvocationContext("stp_1"))
    finally:
        await invoker.close()


async def ask_the_operators_model(url: str) -> None:
    load_provider("openai")
    llm = LlmSettings(provider="openai", base_url=url, model="m", api_key="given-key")
    invokers = Invokers(llm)
    try:
        await invokers.resolve("llm", {}).invoke("hi", InvocationContext("stp_1", timeout=10))
    finally:
        await invokers.close()


async def list_tools(url: str) -> None:
    connection = await open_connection(
        McpConfig.model_validate({"url": url, "egress_allow": LOCAL})
    )
    await connection.tools(None, 10)


async def fetch(url: str) -> None:
    async with guarded_client(LOCAL) as client:
        await client.get(url)


CALLS: dict[str, Callable[[str], Awaitable[None]]] = {
    "openai": lambda url: ask_a_model(url, "openai", api_key="given"),
    "openai without a key": lambda url: ask_a_model(url, "openai"),
    "azure": lambda url: ask_a_model(f"{url}?api-version=1", "openai", api_key="given"),
    "anthropic": lambda url: ask_a_model(url, "anthropic", api_key="given"),
    "anthropic without a key": lambda url: ask_a_model(url, "anthropic"),
    "the operator's model": ask_the_operators_model,
    "an API": send_to_an_api,
    "a token server": sign_in_and_send,
    "an MCP server": list_tools,
    "any address": fetch,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_no_variable_reaches_a_call(call: Callable[[str], Awaitable[None]]) -> None:
    async with HttpServer() as server:
        with suppress(InvokerError):  # what the server answers is none of these tests'
            await call(server.url)
        assert server.requests
        for got in server.requests:
            assert CANARY not in str((got.url, got.headers, got.body))
            assert "x-custom" not in got.headers

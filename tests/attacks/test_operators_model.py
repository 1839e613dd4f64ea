"""A tenant's template does not choose what the operator's model is asked for, and pays for."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.invokers.invoker import InvocationContext
from app.invokers.pool import Invokers
from app.settings import LlmSettings, Settings
from tests.support.manifests import manifest, send
from tests.support.model_server import ModelServer, Said
from tests.support.providers import load_provider

STEP = InvocationContext("stp_1", timeout=10)
REFUSED: dict[str, dict[str, Any]] = {
    "another model": {"model": "the-dearest"},
    "many answers": {"parameters": {"extra_body": {"n": 100}}},
    "tools": {"parameters": {"extra_body": {"tools": [{"type": "web_search"}]}}},
    "kept answers": {"parameters": {"extra_body": {"store": True}}},
    "the model in the body": {"parameters": {"extra_body": {"model": "the-dearest"}}},
    "other messages": {"parameters": {"extra_body": {"messages": []}}},
    "among what is allowed": {"parameters": {"temperature": 0.5, "extra_body": {"n": 2, "x": 1}}},
    "an allowed one in the body": {"parameters": {"extra_body": {"service_tier": "priority"}}},
}
ALLOWED: dict[str, dict[str, Any]] = {
    "nothing": {},
    "its own name": {"model": "m"},
    "the usual": {"parameters": {"temperature": 0.5, "max_tokens": 9, "seed": 1, "top_p": None}},
    "no stream": {"stream": False},
    "nothing in the body": {"parameters": {"extra_body": {}}},
    "none": {"parameters": {"extra_body": None}, "model": None},
}


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    load_provider("openai")
    async with ModelServer() as server:
        server.answers["hi"] = Said(("fine",))
        yield server


def operators(model: ModelServer, **settings: Any) -> LlmSettings:
    url = model.base_url("openai")
    return LlmSettings(provider="openai", base_url=url, model="m", api_key="k" * 9, **settings)


async def sent(
    llm: LlmSettings, model: ModelServer, config: dict[str, Any], *, trusted: bool = False
) -> dict[str, Any]:
    """What the model was asked, if a template asks with this config."""
    invokers = Invokers(llm, ("127.0.0.0/8",))
    try:
        invoker = invokers.resolve("llm", config, trusted=trusted)
        await invoker.invoke("hi", STEP)
    finally:
        await invokers.close()
    return model.bodies[-1]


@pytest.mark.parametrize("config", REFUSED.values(), ids=REFUSED)
async def test_a_tenant_asks_the_operators_model_for_nothing_else(
    model: ModelServer, config: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="invalid invoker config"):
        await sent(operators(model), model, config)
    assert model.bodies == []

    if "messages" in str(config):
        return  # there is no answer to none
    # The operator's code may, and so may a tenant whose model it is.
    assert await sent(operators(model), model, config, trusted=True)
    own = {"provider": "openai", "base_url": model.base_url("openai"), "model": "m"}
    assert await sent(operators(model), model, {**own, **config})


@pytest.mark.parametrize("config", ALLOWED.values(), ids=ALLOWED)
async def test_the_usual_parameters_are_a_tenants(
    model: ModelServer, config: dict[str, Any]
) -> None:
    assert (await sent(operators(model), model, config))["model"] == "m"


async def test_a_setting_allows_more(model: ModelServer) -> None:
    llm = operators(model, tenant_models="other, third", tenant_parameters="n,temperature")
    config = {"model": "third", "parameters": {"temperature": 0.5, "extra_body": {"n": 2}}}
    body = await sent(llm, model, config)
    assert (body["model"], body["n"], body["temperature"]) == ("third", 2, 0.5)
    for refused in ({"model": "fourth"}, {"parameters": {"seed": 1}}):
        with pytest.raises(ValueError, match="invalid invoker config"):
            await sent(llm, model, refused)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    llm = LlmSettings(provider="openai", base_url="http://127.0.0.1:9/v1", model="m")
    return settings.model_copy(update={"llm": llm})


async def test_a_flow_that_asks_for_more_is_not_saved(client: httpx.AsyncClient) -> None:
    def flow(config: dict[str, Any], **invoke: Any) -> dict[str, Any]:
        states = {"a": {"initial": True, "transitions": [{"event": "go", "target": "b"}]}}
        states["b"] = {"transitions": [{"event": "done", "target": "a"}]}
        leaf = {"invoke": "llm", "template": "x", "config": config, **invoke}
        templates = {"a": "x", "b": {"parallel": {"k": {"chain": [leaf]}}}}
        return manifest("Flow", "f", {"statechart": {"states": states}, "templates": templates})

    for name, config in REFUSED.items():
        for dry_run in (True, False):
            answer = await send(client, "apply", flow(config), dry_run=dry_run)
            assert answer.status_code == 400, name
            faults = answer.json()["errors"]
            place = ["spec", "templates", "b", "parallel", "k", "chain", 0, "config"]
            assert {tuple(fault["loc"][:8]) for fault in faults} == {tuple(place)}
            assert all("operator's model" in fault["msg"] for fault in faults)
    for config in ALLOWED.values():
        assert (await send(client, "apply", flow(config), dry_run=True)).status_code == 200
    own = {"type": "openai", "model": "m", "baseUrl": "http://127.0.0.1:9"}
    assert (await send(client, "apply", manifest("Provider", "own", own))).status_code == 200
    asked = flow({"model": "the-dearest", "parameters": {"extra_body": {"n": 2}}}, invoke="own")
    assert (await send(client, "apply", asked)).status_code == 200

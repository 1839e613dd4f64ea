"""What a worker resolves invokers with: names, defaults, reuse, bounds and closing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any, ClassVar, Self

import pytest
from pydantic import SecretStr
from typing_extensions import override

from app.invokers.invoker import Answer, InvocationContext, Invoker, InvokerError
from app.invokers.pool import Invokers, built_in_invokers
from app.kit.registry import UnknownNameError
from app.settings import LlmSettings
from tests.support.openai_server import DEFAULT_TEXT, OpenAiServer

CONTEXT = InvocationContext("stp_1")
HERE = f"{__name__}.Counting"


class Counting(Invoker):
    """Counts its instances and calls."""

    pool_size = 2
    made: ClassVar[list["Counting"]] = []  # emptied by the fixture

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.closed = 0
        self.running = self.peak = 0
        self.started = asyncio.Event()
        self.gate = asyncio.Event()
        self.made.append(self)

    @classmethod
    @override
    def from_config(cls, config: dict[str, Any]) -> Self:
        if "bad" in config:
            raise ValueError("bad: not allowed")
        return cls(config)

    @override
    async def invoke(self, content: str, context: InvocationContext) -> str:
        self.running += 1
        self.started.set()
        self.peak = max(self.peak, self.running)
        try:
            if content == "wait":
                await self.gate.wait()
            await asyncio.sleep(0)
        finally:
            self.running -= 1
        return f"{content}!"

    @override
    async def close(self) -> None:
        assert self.running == 0
        self.closed += 1


@pytest.fixture
async def invokers() -> AsyncIterator[Invokers]:
    Counting.made.clear()
    invokers = Invokers(LlmSettings(), max_idle=2)
    yield invokers
    await invokers.close()


def counting(invokers: Invokers, **config: Any) -> Invoker:
    return invokers.resolve(HERE, config, trusted=True)


def test_the_built_in_ones_are_found() -> None:
    assert {"echo", "llm", "verbatim"} <= set(built_in_invokers())


async def test_a_built_in_invoker_is_found_by_its_name(invokers: Invokers) -> None:
    assert (await invokers.resolve("verbatim").invoke("x", CONTEXT)).text == "x"
    assert (await invokers.resolve("llm").invoke("x", CONTEXT)).text == "[echo model] You said: x"
    assert (await invokers.resolve("echo").invoke("x", CONTEXT)).text == "[echo model] You said: x"


@pytest.mark.parametrize("name", ["nobody", "Verbatim", "", "os.path", HERE])
def test_an_unknown_name_says_what_is_known(name: str) -> None:
    with pytest.raises(UnknownNameError, match=r"known: .*llm.*verbatim"):
        Invokers(LlmSettings()).resolve(name, {})


async def test_a_class_that_trusted_code_used_stays_closed_to_others(invokers: Invokers) -> None:
    counting(invokers)
    with pytest.raises(UnknownNameError):
        invokers.resolve(HERE, {})


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("no.such.Thing", "no invoker at 'no.such.Thing'"),
        ("app.invokers.invoker.Nothing", "Nothing"),
        ("app.invokers.invoker.InvokerError", "is no invoker"),
        ("app.invokers.invoker.discard", "is no invoker"),
        (".x", "no invoker at"),
        ("x.", "no invoker at"),
        ("..", "no invoker at"),
    ],
)
def test_a_path_to_no_invoker_says_so(path: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Invokers(LlmSettings()).resolve(path, {}, trusted=True)


async def test_the_seeds_invoker_by_its_dotted_path(invokers: Invokers) -> None:
    path = "genie_flow_invoker.invoker.verbatim.VerbatimInvoker"
    assert (await invokers.resolve(path, {}, trusted=True).invoke("x", CONTEXT)).text == "x"


def test_a_bad_config_is_refused_when_resolved() -> None:
    with pytest.raises(ValueError, match="bad: not allowed"):
        counting(Invokers(LlmSettings()), bad=1)


async def test_one_instance_per_name_and_config(invokers: Invokers) -> None:
    assert counting(invokers, a=1, b=2) is counting(invokers, b=2, a=1)
    assert counting(invokers, a=1) is not counting(invokers, a="1")
    assert len(Counting.made) == 3


async def test_pool_size_bounds_what_runs_at_once(invokers: Invokers) -> None:
    invoker = counting(invokers)
    await asyncio.gather(*(invoker.invoke("x", CONTEXT) for _ in range(20)))
    assert Counting.made[0].peak == 2


async def test_the_longest_unused_are_closed_and_open_again(invokers: Invokers) -> None:
    first, *others = [counting(invokers, number=number) for number in range(3)]
    for invoker in others:
        await invoker.invoke("x", CONTEXT)
    assert [made.closed for made in Counting.made] == [1, 0, 0]
    assert (await first.invoke("x", CONTEXT)).text == "x!"
    assert [made.closed for made in Counting.made] == [1, 0, 0, 1]


async def test_one_that_runs_is_not_closed(invokers: Invokers) -> None:
    running = counting(invokers, number=0)
    call = asyncio.create_task(running.invoke("wait", CONTEXT))
    await Counting.made[0].started.wait()
    for number in range(1, 4):
        await counting(invokers, number=number).invoke("x", CONTEXT)
    assert Counting.made[0].closed == 0
    await invokers.close()
    assert [made.closed for made in Counting.made] == [0, 1, 1, 1]
    Counting.made[0].gate.set()
    assert (await call).text == "wait!"
    assert Counting.made[0].closed == 1


class Leaving(Counting):
    """Would end the process, in the method that its config names."""

    @classmethod
    @override
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(config)._left("from_config")

    @override
    async def prepare(self) -> None:
        self._left("prepare")

    @override
    def invoke(self, content: str, context: InvocationContext) -> Awaitable[str]:
        return self._left("invoke").say(content, context)

    async def say(self, content: str, context: InvocationContext) -> str:
        return await super().invoke(content, context)

    @override
    async def close(self) -> None:
        await super().close()
        self._left("close")

    def _left(self, method: str) -> Self:
        if self.config["leaves"] == method:
            raise self.config["by"]
        return self


@pytest.mark.parametrize("by", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
@pytest.mark.parametrize("leaves", ["from_config", "prepare", "invoke"])
async def test_no_method_of_a_class_ends_the_worker(
    invokers: Invokers, leaves: str, by: type[BaseException]
) -> None:
    async def call() -> None:
        config = {"leaves": leaves, "by": by}
        invoker = invokers.resolve(f"{__name__}.Leaving", config, trusted=True)
        await invoker.prepare()
        await invoker.invoke("x", CONTEXT)

    with pytest.raises(InvokerError):
        await call()


@pytest.mark.parametrize("by", [SystemExit, asyncio.CancelledError, ValueError])
async def test_one_that_does_not_close_takes_no_call_its_answer(
    invokers: Invokers, by: type[BaseException]
) -> None:
    config = {"leaves": "close", "by": by}
    await invokers.resolve(f"{__name__}.Leaving", config, trusted=True).invoke("x", CONTEXT)
    for number in range(3):
        answer = await counting(invokers, number=number).invoke("x", CONTEXT)
        assert answer == Answer("x!")
    assert Counting.made[0].closed == 1


async def test_the_default_provider_may_be_on_this_machine() -> None:
    async with OpenAiServer() as server:
        settings = LlmSettings(
            provider="openai",
            base_url=server.base_url,
            model="default-model",
            api_key=SecretStr("operator-key"),
            tenant_models=["other-model"],
        )
        invokers = Invokers(settings)
        assert (await invokers.resolve("llm").invoke("x", CONTEXT)).text == DEFAULT_TEXT
        config = {"model": "other-model", "parameters": {"temperature": 0}}
        assert (await invokers.resolve("llm", config).invoke("x", CONTEXT)).text == DEFAULT_TEXT
        await invokers.close()
        assert [request.body["model"] for request in server.requests] == [
            "default-model",
            "other-model",
        ]
        for request in server.requests:
            assert request.headers["authorization"] == "Bearer operator-key"


async def test_a_template_cannot_send_the_operators_key_elsewhere() -> None:
    settings = LlmSettings(provider="openai", model="m", api_key=SecretStr("operator-key"))
    async with OpenAiServer() as server:
        invokers = Invokers(settings, ["127.0.0.0/8"])
        with pytest.raises(ValueError, match="provider"):
            invokers.resolve("llm", {"base_url": server.base_url})
        own = {"provider": "openai", "base_url": server.base_url, "model": "m"}
        await invokers.resolve("llm", own).invoke("x", CONTEXT)
        await invokers.close()
        assert "operator-key" not in str(server.requests)


async def test_a_template_cannot_reach_where_the_operator_does_not_allow() -> None:
    async with OpenAiServer() as server:
        own = {"provider": "openai", "base_url": server.base_url, "model": "m"}
        invokers = Invokers(LlmSettings())
        for reserved in ({"operator_owned": True}, {"egress_allow": ["0.0.0.0/0"]}):
            with pytest.raises(ValueError, match="not yours"):
                invokers.resolve("llm", own | reserved)
        with pytest.raises(InvokerError, match=r"127\.0\.0\.1"):
            await invokers.resolve("llm", own).invoke("x", CONTEXT)
        await invokers.close()
        assert server.requests == []


async def test_configs_that_differ_in_the_key_are_not_shared(invokers: Invokers) -> None:
    own = {"provider": "openai", "model": "m"}
    one, other = ({**own, "api_key": SecretStr(key)} for key in ("one", "other"))
    assert invokers.resolve("llm", one) is not invokers.resolve("llm", other)
    assert invokers.resolve("llm", one) is invokers.resolve("llm", dict(one))

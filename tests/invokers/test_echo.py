"""The echo model: the same answer always, word by word."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.invokers.echo import EchoInvoker
from app.invokers.invoker import InvocationContext
from app.invokers.verbatim import VerbatimInvoker
from tests.support.sinks import Sink


async def test_says_what_it_is_and_repeats_the_last_user_message() -> None:
    sink = Sink()
    content = "- {role: system, content: be kind}\n- {role: user, content: How are you?}"
    answer = await EchoInvoker().invoke(content, InvocationContext("stp_1", emit=sink))
    assert answer.text == "[echo model] You said: How are you?"
    assert sink.pieces == ["[echo ", "model] ", "You ", "said: ", "How ", "are ", "you?"]


@given(st.text())
def test_pieces_join_to_the_answer(text: str) -> None:
    sink = Sink()
    context = InvocationContext("stp_1", emit=sink)
    answer = asyncio.run(EchoInvoker().invoke(text, context))
    assert "".join(sink.pieces) == answer.text
    assert answer.text == f"[echo model] You said: {text}"


async def test_the_delay_comes_between_words() -> None:
    invoker = EchoInvoker.from_config({"delay_seconds": 0.01})
    started = asyncio.get_running_loop().time()
    await invoker.invoke("x", InvocationContext("stp_1"))  # five words, four pauses
    assert asyncio.get_running_loop().time() - started >= 0.04


@pytest.mark.parametrize("config", [{"delay_seconds": -1}, {"delay_seconds": "x"}, {"other": 1}])
def test_a_bad_config_is_a_value_error_that_names_the_field(config: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(config))):
        EchoInvoker.from_config(config)


async def test_verbatim_gives_back_what_it_got() -> None:
    sink = Sink()
    context = InvocationContext("stp_1", emit=sink)
    assert await VerbatimInvoker.from_config({}).invoke(" as\nis ", context) == " as\nis "
    assert sink.pieces == [" as\nis "]


def test_verbatim_has_no_config() -> None:
    with pytest.raises(ValueError, match="size"):
        VerbatimInvoker.from_config({"size": 1})

"""What multiplies is counted before it is put together: a short text cannot ask for gigabytes."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from app.flows.rendering.jinja import SANDBOX, TrustedRenderer
from app.flows.rendering.plain import fill, plain_parts
from app.sizes import MAX_BYTES, SizeLimitError
from tests.support.flows import Session, flow_of
from tests.support.manifests import manifest, post

OFTEN = "{{ actor_input }}" * 500
MOST = f"{MAX_BYTES:,}"


class Long:
    """A long text that counts how often it is written out."""

    def __init__(self) -> None:
        self.written = 0

    def __str__(self) -> str:
        self.written += 1
        return "x" * (MAX_BYTES // 5)


async def rendered_plain(text: str, context: dict[str, Any]) -> str:
    parts = plain_parts(text, SANDBOX)
    assert parts is not None
    return fill(parts, context)


@pytest.mark.parametrize("render", [rendered_plain, TrustedRenderer().render])
async def test_a_text_that_is_named_often_is_written_until_it_is_too_long(
    render: Callable[[str, dict[str, Any]], Any],
) -> None:
    long = Long()
    assert len(await render("{{ actor_input }}" * 5, {"actor_input": long})) == MAX_BYTES
    long.written = 0
    with pytest.raises(
        SizeLimitError, match=f"The rendered text would have more than {MOST} bytes"
    ):
        await render(OFTEN, {"actor_input": long})
    assert long.written == 6


async def test_bytes_are_counted_and_not_characters() -> None:
    with pytest.raises(SizeLimitError):
        await rendered_plain("{{ a }}", {"a": "é" * (MAX_BYTES // 2 + 1)})


async def test_an_event_that_a_state_shows_too_often_leaves_an_error_in_the_session(
    client: httpx.AsyncClient,
) -> None:
    """With two million characters this took 4.9 GB."""
    spec = flow_of({"invoke": "echo", "template": "x"})
    spec["statechart"]["states"]["waiting"]["transitions"].append(
        {"event": "show", "target": "waiting"}
    )
    await post(client, "apply", manifest("Flow", "often", spec | {"templates": {
        **spec["templates"], "waiting": OFTEN}}))  # fmt: skip
    session = await Session.start(client, "often")

    answer = await session.send("show", "x" * 30_000)

    assert (
        f"Template of state 'waiting': The rendered text would have more than {MOST} bytes"
        in (answer["error"])
    )
    assert (await session.send("show", "x"))["response"] == "x" * 500

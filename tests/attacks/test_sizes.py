"""What multiplies is counted before it is put together: a short text cannot ask for gigabytes."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from app.db.engine import Database
from app.flows.rendering.jinja import TrustedRenderer
from app.flows.rendering.plain import fill, plain_parts
from app.settings import Settings
from app.sizes.limit import MAX_BYTES, SizeLimitError
from app.worker import serving
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
    parts = plain_parts(text)
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


LONG = "x" * 50_000


def echo(template: str) -> dict[str, Any]:
    return {"invoke": "verbatim", "template": template}


def mapped(path: str, field: str, part: Any) -> dict[str, Any]:
    return {"map": {"over": path, "value_field": field, "template": part}}


EIGHT = "`[1, 2, 3, 4, 5, 6, 7, 8]`"
SEEN = echo("{{ long | length }}/{{ one }}")
INNER = mapped(EIGHT, "one", {"chain": [SEEN, echo("{{ previous_result }}")]})
ONE = echo("{{ previous_result | length }}/{{ one }}")
SHARED = {
    "a map inside a map": mapped("[actor_input]", "long", INNER),
    "a chain before a map": {
        "chain": [
            echo("{{ actor_input }}"),
            mapped(EIGHT, "one", {"parallel": {"a": ONE, "b": ONE}}),
        ]
    },
}


@pytest.mark.parametrize("template", SHARED.values(), ids=SHARED.keys())
async def test_what_many_steps_see_is_stored_once(
    client: httpx.AsyncClient, database: Database, settings: Settings, template: Any
) -> None:
    await post(client, "apply", manifest("Flow", "shared", flow_of(template)))
    session = await Session.start(client, "shared")
    async with serving(settings):
        answer = await session.send("user_input", LONG)
    assert answer["error"] is None
    assert answer["response"].count("50000/") in (8, 16), answer["response"][:300]

    stored = await database.pool.fetchval("SELECT sum(length(input::text)) FROM step")
    assert stored < 2 * len(LONG)


async def test_steps_are_planned_until_they_are_too_large(client: httpx.AsyncClient) -> None:
    """Each of the outer steps has its own inner ones, with the same long item."""
    inner = mapped("[actor_input]", "long", echo("{{ long | length }}"))
    template = mapped(EIGHT, "a", mapped(EIGHT, "b", mapped(EIGHT, "c", inner)))
    await post(client, "apply", manifest("Flow", "maps", flow_of(template)))
    session = await Session.start(client, "maps")

    refused = await session.post("user_input", LONG)

    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (409, "size-limit")
    assert refused.json()["detail"] == (
        f"The steps that start at once would have more than {MOST} bytes."
    )
    assert (await session.post("user_input", "x")).status_code == 200


def growing(times: int) -> dict[str, Any]:
    """A flow whose event `add` puts its input into so many fields of the model."""
    names = [f"note_{number}" for number in range(times)]
    grown = [{"assign": {"location": name, "expr": "actor_input"}} for name in names]
    transitions = [{"event": "add", "target": "a", "on": grown}]
    return {
        "model": {name: {"type": "string"} for name in names},
        "statechart": {"states": {"a": {"initial": True, "transitions": transitions}}},
        "templates": {"a": "shown"},
    }


async def test_a_model_that_could_not_be_read_again_is_not_saved(client: httpx.AsyncClient) -> None:
    await post(client, "apply", manifest("Flow", "growing", growing(40)))
    session = await Session.start(client, "growing")
    assert (await session.post("add", "x")).status_code == 200

    refused = await session.post("add", "é" * 150_000)

    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (409, "size-limit")
    assert refused.json()["detail"] == (
        f"The session's ManifestModel would have more than {MOST} bytes."
    )
    assert (await session.model("note_39")) == "x"


async def test_a_dialogue_that_is_too_long_is_not_shown_at_once(
    client: httpx.AsyncClient, database: Database
) -> None:
    await post(client, "apply", manifest("Flow", "growing", growing(1)))
    session = await Session.start(client, "growing")
    await session.send("add", "x")
    await database.pool.execute(
        "INSERT INTO message (session_id, idx, org_id, role, content, status)"
        " SELECT session_id, idx + n, org_id, role, json_build_array(json_build_object("
        " 'content_type', 'text', 'text', repeat('x', 1000000)))::jsonb, status"
        " FROM message m, generate_series(1, 12) AS n WHERE idx = (SELECT max(idx) FROM message)"
    )

    refused = await client.get(f"/v1/ai/growing/model/{session.id}", params={"path": "dialogue[0]"})

    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (409, "size-limit")
    assert await session.model("note_0") == "x"

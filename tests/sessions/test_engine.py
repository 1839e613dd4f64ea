"""Composite templates, failures, expiry and storage of sessions, over HTTP with real workers."""

import asyncio
from itertools import pairwise

import httpx
import orjson
import pytest

from app.db.engine import Database
from app.settings import Settings
from app.worker import serving
from tests.support.engine_flows import composites
from tests.support.engine_flows.hooks import Hooks, Remark
from tests.support.flows import Session


@pytest.fixture
def settings(settings: Settings) -> Settings:
    session = settings.session.model_copy(
        update={"ephemeral_ttl_seconds": 1, "expire_sweep_seconds": 0.1, "compression": False}
    )
    return settings.model_copy(
        update={"flows_package": "tests.support.engine_flows", "session": session}
    )


async def run(
    client: httpx.AsyncClient, flow: str, said: str = "hi", items: object = None
) -> Session:
    """A session of a flow after one invocation."""
    session = await Session.start(client, flow, {"items": items})
    await session.send("go", said)
    return session


async def test_a_chain_hands_its_results_on(client: httpx.AsyncClient, worker: None) -> None:
    session = await run(client, "chained")
    assert session.answer["response"] == '<{"n": 2}/3|{"n": 2}/3>'
    assert session.answer["next_actions"] == ["go"]
    assert session.answer["error"] is None


async def test_a_parallel_is_an_object(client: httpx.AsyncClient, worker: None) -> None:
    session = await run(client, "in_parallel", "[1]")
    assert orjson.loads(session.answer["response"]) == {
        "text": [1],
        "json": {"said": "[1]"},
        "a/b~c": 7,
    }
    assert list(orjson.loads(session.answer["response"])) == ["text", "json", "a/b~c"]


@pytest.mark.parametrize(
    ("items", "result"),
    [
        (["a", "b", {"c": None}], [["0", "a"], ["1", "b"], ["2", {"c": None}]]),
        (list(range(30)), [[str(i), i] for i in range(30)]),
        ("scalar", [["0", "scalar"]]),
        (0, [["0", 0]]),
        ({"a": 1}, [["0", {"a": 1}]]),
        ([None], [["0", None]]),
        ([], []),
        (None, []),
    ],
)
async def test_a_map_is_a_list_in_order(
    client: httpx.AsyncClient, worker: None, items: object, result: list[object]
) -> None:
    session = await run(client, "mapped", items=items)
    assert orjson.loads(session.answer["response"]) == result
    assert session.answer["error"] is None


async def test_a_map_goes_over_what_a_path_selects(client: httpx.AsyncClient, worker: None) -> None:
    rows = [{"ok": True, "name": "a"}, {"ok": False, "name": "b"}, {"ok": True, "name": "c"}]
    session = await run(client, "mapped_by_path", orjson.dumps({"rows": rows}).decode())
    assert orjson.loads(session.answer["response"]) == ["a", "c"]


async def test_an_item_may_hold_what_the_database_cannot(
    client: httpx.AsyncClient, worker: None
) -> None:
    """No client can send a NUL, but escaped in JSON one may hide: it is replaced."""
    rows = [{"ok": True, "name": "a\0b"}, {"ok": True, "name": "c"}]
    session = await run(client, "mapped_by_path", orjson.dumps({"rows": rows}).decode())
    assert session.answer["error"] is None
    assert "a\ufffdb" in session.answer["response"]
    assert session.answer["next_actions"] == ["go"]


async def test_a_path_that_does_not_fit(client: httpx.AsyncClient, worker: None) -> None:
    session = await Session.start(client, "mis_mapped", {"items": 7})
    before = await session.model()
    answer = await session.post("go", "x")
    assert answer.status_code == 409
    assert "length(items)" in answer.json()["detail"]
    assert await session.model() == before

    later = await run(client, "mis_mapped_later", "7")
    assert "length(parsed_previous_result)" in later.answer["error"]
    assert later.answer["next_actions"] == ["go"]
    assert orjson.loads((await later.send("go", "[1, 2]"))["response"]) == ["x"]
    assert later.answer["error"] is None


async def test_composites_nest(client: httpx.AsyncClient, worker: None) -> None:
    session = await run(client, "deep", "s", items=[1, 2])
    rows = [[f"{n}{row}{row}s" for n in range(2)] for row in (1, 2)]
    expected = {"left": [rows, 2], "right": "s"}
    # What looks like JSON is put together parsed, also a text of digits.
    assert orjson.loads(session.answer["response"]) == expected

    empty = await run(client, "deep", "s", items=[])
    assert orjson.loads(empty.answer["response"]) == {"left": [[], 0], "right": "s"}


async def test_empty_maps_go_on(client: httpx.AsyncClient, worker: None) -> None:
    session = await run(client, "empty_maps", items=[])
    assert session.answer["response"] == "[]"
    assert session.answer["error"] is None
    full = await run(client, "empty_maps", items=[1, 2])
    assert orjson.loads(full.answer["response"]) == ["z", "z"]


async def test_a_named_queue_is_served_by_its_workers_alone(
    client: httpx.AsyncClient, settings: Settings, database: Database, worker: None
) -> None:
    session = await Session.start(client, "queued")
    await session.post("go")
    while (await session.poll(1))["progress"]["number_of_subtasks_executed"] < 1:
        pass
    answer = await session.poll(1)
    assert answer["progress"] == {
        "total_number_of_subtasks": 3,
        "number_of_subtasks_executed": 1,
    }
    queues = await database.pool.fetch("SELECT queue, status FROM step WHERE kind = 'leaf'")
    assert sorted(map(tuple, queues)) == [("default", "done"), ("gpu", "queued")]

    only = settings.model_copy(
        update={"worker": settings.worker.model_copy(update={"queues": ["gpu"]})}
    )
    async with serving(only):
        while session.answer["next_actions"] == ["poll"]:
            await session.poll()
    assert orjson.loads(session.answer["response"]) == {"here": 1, "there": 3}


@pytest.mark.parametrize(
    ("flow", "first", "last", "result"),
    [
        # A call; a map of three; a map of nothing, which counts as one step; a call.
        ("gated", (0, 4), (5, 6), "ok"),
        # A call and then a map of nothing, beside a call.
        ("gated_aside", (0, 3), None, '{"a": [], "b": "ok"}'),
    ],
)
async def test_progress_is_right_and_never_goes_back(
    *,
    client: httpx.AsyncClient,
    worker: None,
    flow: str,
    first: tuple[int, int],
    last: tuple[int, int] | None,
    result: str,
) -> None:
    composites.gates.permits = asyncio.Semaphore(0)
    session = await Session.start(client, flow, {"items": ["a", "b", "c"]})
    session.answer = (await session.post("go")).json()
    seen = []
    while (progress := session.answer["progress"]) is not None:
        executed = progress["number_of_subtasks_executed"]
        seen.append((executed, progress["total_number_of_subtasks"]))
        composites.gates.permits.release()
        await session.poll()
    assert seen[0] == first
    assert last is None or seen[-1] == last
    for (done, total), (done_then, total_then) in pairwise(seen):
        assert (done <= done_then, total <= total_then) == (True, True), seen
    assert session.answer["next_actions"] == ["go"]
    assert session.answer["response"] == result


async def test_functions_in_threads_run_side_by_side(
    client: httpx.AsyncClient, worker: None
) -> None:
    session = await run(client, "together", "ab", items=list(range(8)))
    assert session.answer["error"] is None
    assert orjson.loads(session.answer["response"]) == ["abab"] * 8


async def test_a_failing_step_is_told_and_forgotten(
    client: httpx.AsyncClient, worker: None
) -> None:
    for flow in ("failing", "failing_inside"):
        session = await run(client, flow, "break")
        assert session.answer["error"] == "fails failed (KeyError)"
        assert session.answer["response"] is None  # and not what the user said
        assert session.answer["next_actions"] == ["go"]
        assert await session.model("[state, result, task_error]") == [
            "shown",
            "",
            "fails failed (KeyError)",
        ]
        await session.send("go", "fine")
        assert session.answer["error"] is None
        assert "fine" in session.answer["response"]
        assert await session.model("task_error") is None


async def test_a_function_sees_the_render_data_and_may_be_retried(
    client: httpx.AsyncClient, worker: None
) -> None:
    session = await run(client, "failing", "flicker")
    answer = orjson.loads(session.answer["response"])
    assert answer["said"] == "flicker"
    (element,) = answer["dialogue"]
    assert element.pop("timestamp")
    assert element == {
        "role": "user",
        "content": "flicker",
        "actor": "user",
        "actor_text": "flicker",
    }
    assert composites.failures[session.id] == 3
    assert {
        "actor_input",
        "chat_history",
        "current_datetime",
        "dialogue",
        "items",
        "parsed_actor_input",
        "result",
        "session_id",
        "state_id",
        "state_name",
    } <= set(answer["sees"])


async def test_results_that_cannot_be_stored(client: httpx.AsyncClient, worker: None) -> None:
    for said in ("NUL", "odd"):
        session = await run(client, "failing", said)
        assert session.answer["error"]
        assert session.answer["next_actions"] == ["go"]


async def test_ephemeral_sessions_vanish_and_others_stay(
    client: httpx.AsyncClient, database: Database, worker: None
) -> None:
    kept = await Session.start(client, "hooks")
    await kept.send("note", "a=1")
    body = {"event": "go", "event_input": "x", "seed_data": {"items": [1]}}
    answer = await client.post("/v1/ai/mapped/start_ephemeral_session", json=body)
    brief = Session(client, "mapped", answer.json())
    assert (await brief.poll())["session_id"] == brief.id

    tables = ("session", "message", "event", "transition", "invocation", "step", "session_value")

    async def rows(session_id: str) -> dict[str, int]:
        found = {}
        for table in tables:
            column = "id" if table == "session" else "session_id"
            query = f"SELECT count(*) FROM {table} WHERE {column} = $1"  # noqa: S608
            found[table] = await database.pool.fetchval(query, session_id)
        return found

    assert (await rows(brief.id))["session"] == 1
    before = await rows(kept.id)
    assert before["session_value"] == 1
    while (await rows(brief.id))["session"]:  # noqa: ASYNC110 - another process's state
        await asyncio.sleep(0.05)
    assert set((await rows(brief.id)).values()) == {0}
    assert await rows(kept.id) == before
    assert (await brief.post("poll")).status_code == 404
    assert (await kept.post("poll")).status_code == 200


async def test_an_expired_session_is_not_there_before_it_is_swept(
    client: httpx.AsyncClient, database: Database
) -> None:
    session = await Session.start(client, "hooks")
    await database.pool.execute("UPDATE session SET expires_at = now() - interval '1 second'")
    for path in (f"model/{session.id}", f"task_state/{session.id}"):
        assert (await client.get(f"/v1/ai/hooks/{path}")).status_code == 404
    assert (await session.post("go")).status_code == 404
    assert (await session.post("poll")).status_code == 404


async def _store(database: Database, model: bytes) -> None:
    await database.pool.execute("UPDATE session SET model = $1", model)


async def test_stored_models_of_an_older_version_are_upgraded(
    client: httpx.AsyncClient, database: Database
) -> None:
    session = await Session.start(client, "hooks")
    await _store(database, b'1:0:{"counter": 41}')
    assert await session.model("count") == 41
    await session.send("go", "x")
    assert session.answer["response"] == "second 42"
    assert await session.model() == await session.model()
    stored = await database.pool.fetchval("SELECT model FROM session")
    assert stored == b'2:0:{"count":42,"entered":["x"]}'


@pytest.mark.parametrize(
    ("stored", "parts"),
    [
        (b'3:0:{"count": 1}', ("version 3", "not 2")),
        (b'0:0:{"count": 1}', ("version 0", "not 2")),
        (b"2:0:{", ("does not fit",)),
        (b"garbage", ("header",)),
    ],
)
async def test_stored_models_that_do_not_fit(
    client: httpx.AsyncClient, database: Database, stored: bytes, parts: tuple[str, ...]
) -> None:
    session = await Session.start(client, "hooks")
    await _store(database, stored)
    for answer in (
        await session.post("go", "x"),
        await client.get(f"/v1/ai/hooks/model/{session.id}"),
    ):
        assert answer.status_code == 409, answer.text
        assert answer.json()["type"].endswith("definition-mismatch")
        for part in parts:
            assert part in answer.json()["detail"]
    assert await database.pool.fetchval("SELECT model FROM session") == stored


async def test_a_stored_state_that_is_gone(client: httpx.AsyncClient, database: Database) -> None:
    session = await Session.start(client, "hooks")
    await database.pool.execute("UPDATE session SET state = 'gone'")
    for answer in (
        await session.post("go", "x"),
        await session.post("poll"),
        await client.get(f"/v1/ai/hooks/task_state/{session.id}"),
    ):
        assert answer.status_code == 409, answer.text
        assert answer.json()["type"].endswith("definition-mismatch")
        assert "'gone'" in answer.json()["detail"]


async def test_the_secondary_store_writes_each_value_once(
    client: httpx.AsyncClient, database: Database
) -> None:
    session = await Session.start(client, "hooks")
    stored = "SELECT key, payload, xmin::text FROM session_value ORDER BY key"
    await session.send("note", "a=one")
    (first,) = await database.pool.fetch(stored)
    assert first["payload"] == b'Remark:0:0:{"text":"one"}'
    await session.send("note", "b=two")
    rows = await database.pool.fetch(stored)
    assert [row["key"] for row in rows] == ["a", "b"]
    assert rows[0] == first  # not written again
    assert await session.model("secondary_store") == {"a": {"text": "one"}, "b": {"text": "two"}}

    again = await session.post("note", "a=three")
    assert again.status_code == 409
    assert (await database.pool.fetch(stored)) == rows

    await session.send("drop", "a")
    assert await session.model("secondary_store") == {"b": {"text": "two"}}
    assert await database.pool.fetch(stored) == rows[1:]
    await session.send("note", "a=four")
    assert await session.model("secondary_store.a.text") == "four"


async def test_only_registered_classes_are_made(
    client: httpx.AsyncClient, database: Database
) -> None:
    session = await Session.start(client, "hooks")
    await session.send("note", "a=one")
    await database.pool.execute("UPDATE session_value SET payload = 'Popen:0:0:{}'")
    answer = await client.get(f"/v1/ai/hooks/model/{session.id}")
    assert answer.status_code == 409
    assert "'Popen'" in answer.json()["detail"]


def test_models_of_the_package_come_back() -> None:
    for compression in (False, True):
        model = Hooks(count=3, entered=["a"])
        assert Hooks.deserialize(model.serialize(compression)) == model
        assert Remark.deserialize(Remark(text="é").serialize(compression)) == Remark(text="é")

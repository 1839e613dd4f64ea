"""The flows that an org can run, over HTTP: list, one, diagram."""

from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from tests.flows.specs import changed, greet
from tests.support.http import NewKey

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


async def apply(client: httpx.AsyncClient, name: str, spec: dict[str, Any]) -> None:
    manifest = {
        "apiVersion": "statewright/v1",
        "kind": "Flow",
        "metadata": {"name": name, "description": "Says hello.", "version": "1.0.0"},
        "spec": spec,
    }
    answer = await client.post("/api/v1/cli/apply/", json=manifest)
    assert answer.status_code == 200, answer.text


async def start(client: httpx.AsyncClient, flow: str = "chat") -> str:
    answer = await client.post(f"/v1/ai/{flow}/start_session", json={})
    assert answer.status_code == 200, answer.text
    session_id: str = answer.json()["session_id"]
    return session_id


async def test_the_list_has_flows_in_code_and_those_of_the_org(
    client: httpx.AsyncClient, new_key: NewKey
) -> None:
    await apply(client, "greet", greet())
    answer = await client.get("/v1/ai/flows")
    assert answer.status_code == 200, answer.text
    page = answer.json()
    assert page["next_token"] is None
    items = {item["key"]: item for item in page["items"]}
    assert items["chat"] == {
        "key": "chat",
        "revision": 0,
        "description": "A conversation with a model.",
        "source": "code",
        "number_of_states": 6,
    }
    assert items["greet"] == {
        "key": "greet",
        "revision": 1,
        "description": "Says hello.",
        "source": "manifest",
        "number_of_states": 3,
    }
    others = await new_key(org="Other", user="bob@other.example")
    client.headers["Authorization"] = f"Bearer {others.api_key}"
    theirs = (await client.get("/v1/ai/flows")).json()["items"]
    assert [item["key"] for item in theirs] == ["chat"]
    for path in ("/v1/ai/flows/greet", "/v1/ai/flows/greet/diagram"):
        assert (await client.get(path)).status_code == 404


async def test_a_flow_has_its_states_its_events_and_the_schema_of_its_model(
    client: httpx.AsyncClient,
) -> None:
    await apply(client, "greet", greet())
    flow = (await client.get("/v1/ai/flows/greet")).json()
    assert flow["states"][0] == {
        "id": "intro",
        "name": "Intro",
        "path": ["intro"],
        "initial": True,
        "final": False,
        "invokes": False,
        "asks": False,
        "history": None,
        "events": ["user_input"],
        "timers": [],
    }
    extract, welcome = flow["states"][1:]
    # The event that ends an invocation is the worker's alone.
    assert extract["invokes"]
    assert extract["events"] == []
    assert welcome["final"]
    assert flow["events"] == ["user_input"]
    assert set(flow["model"]["properties"]) == {"user_name", "age", "notes", "profile", "source"}
    assert "SecondaryStore" not in str(flow["model"])


async def test_the_schema_of_a_model_tells_what_its_author_wrote(client: httpx.AsyncClient) -> None:
    spec = changed("model/user_name/description", "Who it is")
    spec["model"]["source"]["enum"] = ["web", "mail"]
    spec["model"]["notes"]["items"] = {"type": "string", "title": "A note"}
    await apply(client, "greet", spec)
    properties = (await client.get("/v1/ai/flows/greet")).json()["model"]["properties"]
    assert properties["user_name"]["description"] == "Who it is"
    assert properties["source"]["anyOf"][0] == {"type": "string", "enum": ["web", "mail"]}
    assert properties["notes"]["items"] == {"type": "string", "title": "A note"}


async def test_a_flow_at_a_revision(client: httpx.AsyncClient) -> None:
    await apply(client, "greet", greet())
    first = await start(client, "greet")
    await apply(client, "greet", changed("model/source/enum", ["web", "mail"]))
    for revision, listed in ((1, False), (2, True), (None, True)):
        params = {} if revision is None else {"revision": revision}
        flow = (await client.get("/v1/ai/flows/greet", params=params)).json()
        assert flow["revision"] == (revision or 2)
        assert ("mail" in str(flow["model"]["properties"]["source"])) is listed
    for path in ("/v1/ai/flows/greet", "/v1/ai/flows/chat", "/v1/ai/flows/chat/diagram"):
        answer = await client.get(path, params={"revision": 7})
        assert answer.status_code == 404, answer.text
    # A session is shown in the revision that it runs.
    drawn = await client.get("/v1/ai/flows/greet/diagram", params={"session_id": first})
    assert "greet, revision 1" in drawn.text
    wrong = await client.get(
        "/v1/ai/flows/greet/diagram", params={"session_id": first, "revision": 2}
    )
    assert wrong.status_code == 400
    assert wrong.json()["errors"][0]["loc"] == ["query", "revision"]


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, "image/svg+xml"),
        ("", "image/svg+xml"),
        ("*/*", "image/svg+xml"),
        (BROWSER, "image/svg+xml"),
        ("image/*", "image/svg+xml"),
        ("text/vnd.mermaid", "text/vnd.mermaid"),
        ("TEXT/Plain; q=0.5, application/json", "text/plain"),
        ("text/*", "text/vnd.mermaid"),
        ("image/svg+xml;q=0.3, text/plain;q=0.7", "text/plain"),
        ("*/*, image/svg+xml;q=0", "text/vnd.mermaid"),
    ],
)
async def test_a_diagram_is_what_the_client_accepts(
    client: httpx.AsyncClient, accept: str | None, media_type: str
) -> None:
    del client.headers["Accept"]
    headers = {} if accept is None else {"Accept": accept}
    answer = await client.get("/v1/ai/flows/chat/diagram", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].split(";")[0] == media_type
    assert answer.headers["Vary"] == "Accept"
    if media_type == "image/svg+xml":
        root = ElementTree.fromstring(answer.text)  # noqa: S314 - made by this process
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
    else:
        assert answer.text.startswith("stateDiagram-v2\n")


@pytest.mark.parametrize(
    "accept", ["application/json", "image/png;q=1", "*/*;q=0", ";;;", "*/*;q=x"]
)
async def test_what_there_is_no_diagram_in_is_not_acceptable(
    client: httpx.AsyncClient, accept: str
) -> None:
    answer = await client.get("/v1/ai/flows/chat/diagram", headers={"Accept": accept})
    assert answer.status_code == 406
    assert answer.json()["type"] == "urn:statewright:problem:not-acceptable"


async def test_a_diagram_marks_where_a_session_is(client: httpx.AsyncClient) -> None:
    session_id = await start(client)
    text = {"Accept": "text/plain"}
    answer = await client.get(
        "/v1/ai/flows/chat/diagram", params={"session_id": session_id}, headers=text
    )
    assert "user_turn:::active" in answer.text
    sent = await client.post(
        "/v1/ai/chat/event",
        json={"session_id": session_id, "event": "user_message", "event_input": "Hi"},
    )
    assert sent.status_code == 200, sent.text
    answer = await client.get(
        "/v1/ai/flows/chat/diagram", params={"session_id": session_id}, headers=text
    )
    assert "roboto_turn:::active" in answer.text
    assert "user_turn:::active" not in answer.text


async def test_sessions_of_others_and_of_other_flows_are_not_there(
    client: httpx.AsyncClient, new_key: NewKey
) -> None:
    await apply(client, "greet", greet())
    session_id = await start(client)
    for flow, named in (("greet", session_id), ("chat", "ath_nothing"), ("chat", "\x00")):
        answer = await client.get(f"/v1/ai/flows/{flow}/diagram", params={"session_id": named})
        assert answer.status_code in {400, 404}, answer.text
        assert answer.status_code == 404 or named == "\x00"
    others = await new_key(org="Other", user="bob@other.example")
    client.headers["Authorization"] = f"Bearer {others.api_key}"
    answer = await client.get("/v1/ai/flows/chat/diagram", params={"session_id": session_id})
    assert answer.status_code == 404


@pytest.mark.parametrize("path", ["", "/chat", "/chat/diagram"])
async def test_flows_need_a_key(anonymous: httpx.AsyncClient, path: str) -> None:
    assert (await anonymous.get(f"/v1/ai/flows{path}")).status_code == 401


@pytest.mark.parametrize("path", ["/nothing", "/nothing/diagram", "/%00", "/%00/diagram"])
async def test_a_flow_that_is_not_there(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(f"/v1/ai/flows{path}")).status_code in {400, 404}


@pytest.mark.parametrize("revision", ["-1", "x", "99999999999999999999"])
async def test_a_bad_revision_is_a_bad_request(client: httpx.AsyncClient, revision: str) -> None:
    for path in ("/v1/ai/flows/chat", "/v1/ai/flows/chat/diagram"):
        answer = await client.get(path, params={"revision": revision})
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["loc"] == ["query", "revision"]


async def test_the_document_declares_what_a_diagram_may_be(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    responses = document["paths"]["/v1/ai/flows/{flow}/diagram"]["get"]["responses"]
    assert set(responses["200"]["content"]) == {"image/svg+xml", "text/vnd.mermaid", "text/plain"}
    assert {"400", "401", "404", "406"} <= set(responses)

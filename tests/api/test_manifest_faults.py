"""A fault of a manifest is told with its place in the manifest, and with what would be right."""

from typing import Any

import httpx
import pytest

from tests.support.manifests import manifest, post, secret, send

TEXT = {"role": "user", "content": [{"text": "Hi"}]}
PAST = "2001-01-01"


def flow(**changes: Any) -> Any:
    states = {"a": {"initial": True, "transitions": [{"event": "go", "target": "a"}]}}
    spec = {"statechart": {"states": states}, "templates": {"a": "x"}}
    return manifest("Flow", "f", spec | changes)


FAULTS: dict[str, tuple[Any, list[str | int]]] = {
    "an expiry in the past": (
        manifest("AuthToken", "t", {"user": "a@b.example", "expirationDate": PAST}),
        ["spec", "expirationDate"],
    ),
    "a user that is none": (manifest("AuthToken", "t", {"user": "nobody"}), ["spec", "user"]),
    "a description of two lines": (
        manifest("AuthToken", "t", {"user": "a@b.example"}, description="a\nb"),
        ["metadata", "description"],
    ),
    "a user's name": (manifest("User", "nobody"), ["metadata", "name"]),
    "a field deep inside": (
        manifest("Agent", "a", {"requestTemplate": {"messages": [TEXT], "systemPrompt": 1}}),
        ["spec", "requestTemplate", "systemPrompt"],
    ),
    "a field in a list": (
        manifest(
            "Agent",
            "a",
            {
                "requestTemplate": {
                    "messages": [TEXT],
                    "clientTools": [{"name": "client_tool", "description": "", "inputSchema": 1}],
                }
            },
        ),
        ["spec", "requestTemplate", "clientTools", 0, "inputSchema"],
    ),
    "a template of no state": (flow(templates={"a": "x", "b": "y"}), ["spec", "templates", "b"]),
}


@pytest.mark.parametrize("case", FAULTS)
async def test_a_fault_has_its_place(client: httpx.AsyncClient, case: str) -> None:
    document, place = FAULTS[case]
    refused = await send(client, "apply", document)

    assert refused.status_code == 400, refused.text
    problem = refused.json()
    assert problem["errors"][0]["loc"] == place
    start = ".".join(map(str, place))
    assert problem["detail"].startswith(f"{start}: {problem['errors'][0]['msg']}")


async def test_several_faults_of_a_flow_are_counted(client: httpx.AsyncClient) -> None:
    refused = await send(client, "apply", flow(templates={"a": "{{", "b": "x", "c": "x"}))

    problem = refused.json()
    assert len(problem["errors"]) == 3
    assert problem["detail"].endswith("(and 2 more)")


@pytest.mark.parametrize(
    ("document", "known"),
    [
        (manifest("Dataset", "d") | {"extra": 1}, "apiVersion, kind, metadata, spec, status"),
        (manifest("Dataset", "d", colour="red"), "annotations, description, labels, name"),
        (manifest("Dataset", "d", {"colour": "red"}), "properties"),
        (manifest("Agent", "a", {"requestTemplate": {"messages": [TEXT], "x": 1}}), "modelProfile"),
        (secret(colour="red"), "allowedHosts, expirationDate, usableBy, value"),
        (manifest("Secret", "s", {"colour": "red"}), "config"),
        (flow(colour={}), "model, statechart, templates"),
    ],
)
async def test_of_an_unknown_field_the_known_ones_are_told(
    client: httpx.AsyncClient, document: Any, known: str
) -> None:
    refused = await send(client, "apply", document)

    assert refused.status_code == 400
    (fault,) = refused.json()["errors"]
    assert known in fault["msg"]
    if document["kind"] == "Secret":  # it may be the value
        assert "colour" not in refused.text


async def test_of_a_prompt_too(client: httpx.AsyncClient) -> None:
    await post(client, "apply", (await post(client, "example-manifest/agent"))["data"])
    refused = await send(client, "prompt/example-agent", {"prompt": "a", "colour": "red"})

    assert refused.json()["errors"][0]["msg"] == "unknown field; there are prompt, session, values"


@pytest.mark.parametrize("kind", ["Agent", "Skill", "Dataset", "Flow", "User", "AuthToken"])
async def test_no_length_is_a_fault_of_ours(client: httpx.AsyncClient, kind: str) -> None:
    document = (await post(client, f"example-manifest/{kind}"))["data"]
    document["metadata"] |= {"description": "x" * 10_000, "tags": ["t" * 200] * 2}
    assert (await send(client, "apply", document)).status_code == 400
    del document["metadata"]["tags"]
    assert (await send(client, "apply", document)).status_code in (200, 400)
    document["metadata"]["name"] = "n" * 200
    assert (await send(client, "apply", document)).status_code in (200, 400)

"""The folder `examples/manifests`: a small product that applies as it is, and answers."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from app.settings import Settings
from app.worker import serving
from tests.support.flows import Session
from tests.support.http_server import HttpServer
from tests.support.manifests import post
from tests.support.shop import reachable
from tests.support.threads import data

EXAMPLES = Path(__file__).parents[2] / "examples" / "manifests"
TRIAGE = EXAMPLES.parent / "triage" / "triage.yaml"
REFUNDS = EXAMPLES.parent / "refunds" / "refunds.yaml"


async def apply_folder(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    """All files as one text: what is named may stand anywhere in it."""
    body = "\n---\n".join(file.read_text() for file in sorted(EXAMPLES.rglob("*.yaml")))
    response = await client.post("/api/v1/cli/apply/", content=body)
    assert response.status_code == 200, response.text
    items: list[dict[str, Any]] = response.json()["data"]["items"]
    return items


async def test_the_folder_applies_and_its_agents_answer(
    client: httpx.AsyncClient, worker: None
) -> None:
    applied = await apply_folder(client)
    assert {item["operation"] for item in applied} == {"created"}
    assert {item["operation"] for item in await apply_folder(client)} == {"unchanged"}

    kinds = Counter(item["manifest"]["kind"] for item in applied)
    assert kinds == {
        "Secret": 1,
        "ApiConnection": 1,
        "Tool": 1,
        "Provider": 1,
        "Flow": 1,
        "Agent": 2,
    }
    for item in applied:
        if item["manifest"]["kind"] == "Agent":
            name = item["manifest"]["metadata"]["name"]
            response = await client.post(f"/api/v1/cli/prompt/{name}/", json={"prompt": "Hello?"})
            assert response.status_code == 200, response.text
            assert response.json()["data"]["response"]


async def test_one_triage_agent_labels_many_datasets(
    client: httpx.AsyncClient, worker: None
) -> None:
    await post(client, "apply", TRIAGE.read_text())
    assert (await post(client, "apply", TRIAGE.read_text()))["data"]["items"][0][
        "operation"
    ] == "unchanged"
    for name, found in (("drive-monday", ["rain"]), ("drive-tuesday", ["near-miss", "night"])):
        dataset = (await post(client, "describe/Dataset", name=name))["data"]["status"]
        assert "summary" not in dataset
        assert dataset["tags"] == []
        decisions = [
            {"label": label, "applies": label in found, "justification": "Seen.", "confidence": 1}
            for label in ("rain", "night", "near-miss")
        ]
        arguments = json.dumps({"label_decisions": decisions})
        body = {
            "prompt": f"call achieve_dataset_triage {arguments}\nthen\nDone.",
            "values": {"dataset.id": dataset["id"]},
        }
        answer = (await post(client, "prompt/triage", body))["data"]
        assert (answer["status"], answer["response"]) == ("user_turn", "Done.")
        described = await post(client, "describe/Dataset", name=name)
        assert described["data"]["status"]["tags"] == found
    wrong = {"prompt": "Hi", "values": {"dataset.id": "ds_none"}}
    refused = await client.post("/api/v1/cli/prompt/triage/", json=wrong)
    assert refused.status_code == 400
    assert "there is no Dataset 'ds_none'" in refused.text


async def test_a_refund_is_made_once_a_person_says_how_much(
    api: FastAPI, client: httpx.AsyncClient, settings: Settings
) -> None:
    async with HttpServer() as payments, serving(reachable(settings)):
        manifest = REFUNDS.read_text()
        assert "https://payments.example.com" in manifest
        await post(client, "apply", manifest.replace("https://payments.example.com", payments.url))
        session = await Session.start(client, "refunds")
        await session.post("user_input", "The kettle leaks.")
        while not (answer := await session.poll())["required_actions"]:
            assert answer["error"] is None
        [action] = answer["required_actions"]
        assert "The kettle leaks. How much shall we give back?" in action["question"]
        url = f"/v1/ai/actions/{action['action_id']}/resolve"
        most = await client.post(url, json={"decision": "answer", "result": {"amount": 501}})
        assert most.json()["errors"][0]["loc"] == ["body", "result", "amount"]
        assert payments.requests == []

        data(await client.post(url, json={"decision": "answer", "result": {"amount": 12.5}}))
        while (answer := await session.poll())["next_actions"] == ["poll"]:
            pass
    assert answer["response"] == "Your refund is on its way."
    [request] = payments.requests
    assert (request.url, json.loads(request.body)) == ("/refunds", {"amount": 12.5})

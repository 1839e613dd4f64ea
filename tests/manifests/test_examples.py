"""The folder `examples/manifests`: a small product that applies as it is, and answers."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from tests.support.manifests import post

EXAMPLES = Path(__file__).parents[2] / "examples" / "manifests"
TRIAGE = EXAMPLES.parent / "triage" / "triage.yaml"


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

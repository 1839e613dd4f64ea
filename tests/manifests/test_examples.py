"""The folder `examples/manifests`: a small product that applies as it is, and answers."""

from collections import Counter
from pathlib import Path
from typing import Any

import httpx

EXAMPLES = Path(__file__).parents[2] / "examples" / "manifests"


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

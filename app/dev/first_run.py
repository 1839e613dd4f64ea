"""What `statewright dev` puts into a database that has it not: an API key, and an example agent."""

from typing import Any

import httpx

from app.access.service import create_key
from app.db.engine import Database
from app.dev.data_dir import DataDir, Secrets
from app.dev.process import StartError
from app.kit.certificates import NO_CERTIFICATES
from app.settings import Settings

_AGENT: dict[str, Any] = {
    "name": "explainer",
    "description": "The example agent of `statewright dev`.",
    "request_template": {
        "system_prompt": "You are a patient teacher.",
        "messages": [{"role": "user", "content": [{"text": "Explain {{topic}} in one sentence."}]}],
    },
    "variables": [{"name": "topic", "description": "What to explain."}],
}


async def ensure_key(
    settings: Settings, base_url: str, data_dir: DataDir, secrets: Secrets
) -> None:
    """Keeps an admin key of org "dev" that the running API accepts; makes one if there is none."""
    if secrets.api_key and await _is_accepted(base_url, secrets.api_key):
        return
    async with Database.open(settings.database_url) as database, database.transaction() as db:
        created = await create_key(
            db, settings, org="dev", user="dev@localhost", description="statewright dev"
        )
    secrets.api_key, secrets.org_id = created.api_key, created.org_id
    data_dir.keep(secrets)


async def ensure_example(base_url: str, api_key: str) -> str:
    """Makes the example agent if there is none. Returns its id.

    Raises:
        StartError: the API refused it.
    """
    async with _client(base_url, api_key) as client:
        answer = await client.get(f"/v1/ai/agents/name/{_AGENT['name']}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            answer = await client.post("/v1/ai/agents", json=_AGENT)
    if not answer.is_success:
        raise StartError(f"The example agent could not be made: {answer.text}")
    agent_id: str = answer.json()["data"]["agent_id"]
    return agent_id


def example_line(base_url: str, api_key: str, agent_id: str) -> str:
    """A line for a POSIX shell: launches the agent, waits for its turn's end, shows the thread."""
    return (
        f"ai={base_url}/v1/ai; key='Authorization: Bearer {api_key}';"
        " thread=$(curl -s -H \"$key\" -H 'Content-Type: application/json'"
        ' -d \'{"values": {"topic": "statecharts"}}\''
        f" $ai/agents/{agent_id}/launch"
        ' | sed \'s/.*"thread_id": *"\\([^"]*\\)".*/\\1/\');'
        ' for _ in $(seq 100); do curl -s -H "$key" $ai/threads/$thread'
        ' | grep -q \'"status": *"user_turn"\' && break; sleep 0.1; done;'
        ' curl -s -H "$key" "$ai/threads/$thread?load_messages=true"'
    )


async def _is_accepted(base_url: str, api_key: str) -> bool:
    async with _client(base_url, api_key) as client:
        answer = await client.get("/v1/ai/agents", params={"limit": 1})
    return answer.status_code != httpx.codes.UNAUTHORIZED


def _client(base_url: str, api_key: str) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {api_key}"}
    return httpx.AsyncClient(
        base_url=base_url, headers=headers, verify=NO_CERTIFICATES, trust_env=False, timeout=10
    )

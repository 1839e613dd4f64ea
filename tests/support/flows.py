"""Drives sessions over HTTP, and writes packages of flows in code for a test."""

import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from app.flows.code.package import load_package

WritePackage = Callable[[Mapping[str, str]], str]


@pytest.fixture
def write_package(tmp_path: Path) -> Iterator[WritePackage]:
    """Writes files as an importable package and gives its name; it is forgotten after the test."""
    names: list[str] = []

    def write(files: Mapping[str, str]) -> str:
        name = f"flows_{tmp_path.name.replace('-', '_')}_{len(names)}"
        for path, text in {"__init__.py": "", **files}.items():
            file = tmp_path / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text))
        names.append(name)
        return name

    sys.path.insert(0, str(tmp_path))
    yield write
    sys.path.remove(str(tmp_path))
    for module in [m for m in sys.modules if m.partition(".")[0] in names]:
        del sys.modules[module]
    load_package.cache_clear()


class Session:
    """One session of a flow, as its client sees it; `answer` is the newest."""

    def __init__(self, client: httpx.AsyncClient, flow: str, answer: dict[str, Any]) -> None:
        self._client = client
        self.flow = flow
        self.id: str = answer["session_id"]
        self.answer = answer

    @classmethod
    async def start(
        cls, client: httpx.AsyncClient, flow: str, seed: dict[str, Any] | None = None
    ) -> "Session":
        response = await client.post(f"/v1/ai/{flow}/start_session", json={"seed_data": seed})
        assert response.status_code == 200, response.text
        return cls(client, flow, response.json())

    async def post(self, event: str, event_input: str = "", wait: float = 0) -> httpx.Response:
        """The bare answer to an event."""
        return await self._client.post(
            f"/v1/ai/{self.flow}/event",
            params={"wait": wait},
            json={"session_id": self.id, "event": event, "event_input": event_input},
        )

    async def send(self, event: str, event_input: str = "") -> dict[str, Any]:
        """Send an event, and poll until no invocation runs."""
        response = await self.post(event, event_input)
        assert response.status_code == 200, response.text
        self.answer = response.json()
        while self.answer["next_actions"] == ["poll"]:
            await self.poll()
        return self.answer

    async def poll(self, wait: float = 10) -> dict[str, Any]:
        response = await self.post("poll", wait=wait)
        assert response.status_code == 200, response.text
        self.answer = response.json()
        return self.answer

    async def model(self, path: str | None = None) -> Any:
        """The session's model, or what a path selects of it."""
        response = await self._client.get(
            f"/v1/ai/{self.flow}/model/{self.id}", params={"path": path} if path else {}
        )
        assert response.status_code == 200, response.text
        return orjson.loads(response.json()["response"])

    async def dialogue(self) -> list[tuple[str, str]]:
        """Its messages, as (role, text)."""
        return [(m["role"], m["content"]) for m in await self.model("dialogue")]


def flow_of(template: Any, event: str = "user_input") -> dict[str, Any]:
    """The spec of a flow whose one invoker state has the template, and which shows its result."""
    asked = [{"event": event, "target": "working"}]
    return {
        "statechart": {
            "states": {
                "waiting": {"initial": True, "transitions": asked},
                "working": {"transitions": [{"event": "worked", "target": "waiting"}]},
            }
        },
        "templates": {"waiting": "{{ actor_input }}", "working": template},
    }

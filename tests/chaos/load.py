"""Sessions of all kinds, one after the other, by a number of clients, until the run ends."""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

import httpx

from tests.chaos.client import ChaosClient, new_token
from tests.chaos.history import Fate, Sent
from tests.faults.load import message
from tests.support.threads import Reader, transcript

# How many answers of the upstream the response to `go` shows.
FLOWS = {"chained": 1, "beside": 3, "mapped": 5, "paired": 1, "caught": 1, "coded": 5}
THREADS = "/v1/ai/threads"
_CANCELLED = "Cancelled by the user."


class Talker:
    """One client: it opens sessions, drives them and leaves them."""

    def __init__(self, client: ChaosClient, rng: random.Random) -> None:
        self._client = client
        self._random = rng
        self._history = client.history

    async def talk(self) -> None:
        """Go on until the run ends."""
        while not self._is_over:
            flow = self._random.choice([*FLOWS, "chat", "chat"])
            if flow == "chat":
                await self._thread()
            else:
                await self._session(flow)

    @property
    def _is_over(self) -> bool:
        return self._client.is_closing.is_set()

    async def _session(self, flow: str) -> None:
        is_ephemeral = self._random.random() < 0.15
        opened = await self._open(flow, is_ephemeral=is_ephemeral)
        if opened is None:
            return
        session_id, reply = opened
        for _ in range(self._random.randrange(2, 6)):
            while reply is not None and reply["next_actions"] == ["poll"]:
                reply = await self._follow(flow, session_id)
            if reply is None or self._is_over:
                return
            if reply["error"] not in {None, _CANCELLED} and self._random.random() < 0.5:
                reply = await self._retry(flow, session_id)
                continue
            reply = await self._say(flow, session_id, is_ephemeral=is_ephemeral)

    async def _open(
        self, flow: str, *, is_ephemeral: bool
    ) -> tuple[str, dict[str, Any] | None] | None:
        sent = Sent("", flow, new_token(), self._client.new_key(), is_ephemeral)
        if is_ephemeral:
            path = f"/v1/ai/{flow}/start_ephemeral_session"
            answer = await self._send(sent, path, {"event": "go", "event_input": sent.token})
        else:
            path = f"/v1/ai/{flow}/start_session"
            answer = await self._client.ask("POST", path, key=sent.key, json={})
        reply = self._body_of(answer, "a start")
        if reply is None:
            return None
        session_id: str = reply["session_id"]
        self._history.sessions[session_id] = flow
        if is_ephemeral:
            self._history.ephemeral.add(session_id)
            sent.session_id = session_id
        return session_id, reply

    async def _say(
        self, flow: str, session_id: str, *, is_ephemeral: bool
    ) -> dict[str, Any] | None:
        """Send an event, and follow the session until it is answered."""
        sent = Sent(session_id, flow, new_token(), self._client.new_key(), is_ephemeral)
        body = {"session_id": session_id, "event": "go", "event_input": sent.token}
        answer = await self._send(sent, f"/v1/ai/{flow}/event", body)
        reply = self._body_of(answer, "an event")
        if reply is None or sent.fate is not Fate.ACKED:
            return None
        if self._random.random() < 0.06:
            await self._cancel(session_id)
        while reply is not None and reply["next_actions"] == ["poll"]:
            reply = await self._follow(flow, session_id)
        if reply is not None:
            self._check_response(sent, reply)
        return reply

    def _check_response(self, sent: Sent, reply: dict[str, Any]) -> None:
        if reply["error"]:
            return
        response = reply["response"] or ""
        wanted = FLOWS[sent.flow]
        given = response.count('nonce\\"') + response.count('"nonce"') + response.count("heard")
        if sent.token not in response or given < wanted:
            self._complain(sent.session_id, f"a wrong answer to {sent.token}: {response!r}")

    async def _send(self, sent: Sent, path: str, body: dict[str, Any]) -> httpx.Response | None:
        self._history.sent.append(sent)
        answer = await self._client.ask("POST", path, key=sent.key, json=body)
        sent.ended = time.time()
        if answer is None:
            return None
        sent.fate = Fate.ACKED if answer.is_success else Fate.REFUSED
        sent.answer = answer.text
        if answer.is_success and self._random.random() < 0.1:
            again = await self._client.ask("POST", path, key=sent.key, json=body)
            is_gone = sent.is_ephemeral and again is not None and again.status_code == 404
            if again is not None and again.text != answer.text and not is_gone:
                self._complain(
                    sent.session_id, f"one key, two answers: {answer.text} and {again.text}"
                )
        return answer

    async def _follow(self, flow: str, session_id: str) -> dict[str, Any] | None:
        wait = self._random.choice([0.0, 1.0, 5.0, 10.0])
        if not wait:
            await asyncio.sleep(0.3)
        if self._random.random() < 0.1:
            path = f"/v1/ai/{flow}/task_state/{session_id}"
            await self._client.ask("GET", path, wait=wait)
        body = {"session_id": session_id, "event": "poll"}
        answer = await self._client.ask("POST", f"/v1/ai/{flow}/event", wait=wait, json=body)
        return self._body_of(answer, "a poll", session_id)

    async def _retry(self, flow: str, session_id: str) -> dict[str, Any] | None:
        path = f"/v1/ai/{flow}/sessions/{session_id}/retry"
        answer = await self._client.ask("POST", path, key=self._client.new_key())
        if answer is not None and answer.status_code == 409:
            self._complain(session_id, f"a failed turn cannot be retried: {answer.text}")
            return None
        self._history.resumed += answer is not None and answer.is_success
        return self._body_of(answer, "a retry", session_id)

    async def _cancel(self, session_id: str) -> None:
        await asyncio.sleep(self._random.uniform(0.0, 1.5))
        answer = await self._client.ask("POST", f"{THREADS}/{session_id}/cancel")
        self._history.cancelled += answer is not None and answer.is_success

    def _body_of(
        self, answer: httpx.Response | None, what: str, session_id: str = ""
    ) -> dict[str, Any] | None:
        """The body of a good answer. Only an ephemeral session may be gone."""
        if answer is None:
            return None
        if answer.is_success:
            reply: dict[str, Any] = answer.json()
            return reply
        if answer.status_code != 404 or session_id not in self._history.ephemeral:
            self._complain(session_id, f"{what} was refused: {answer.text}")
        return None

    async def _thread(self) -> None:
        thread = _Thread(self._client, self._random, self._complain)
        for _ in range(self._random.randrange(2, 6)):
            if self._is_over or not await thread.say():
                return
            if self._random.random() < 0.1:
                await self._cancel(thread.id)
            if not await thread.is_answered():
                return
            if thread.has_failed and self._random.random() < 0.5:
                await self._retry("chat", thread.id)
                if not await thread.is_answered():
                    return
        await thread.compare()

    def _complain(self, session_id: str, text: str) -> None:
        self._history.complaints.append(f"{session_id}: {text}")


class _Thread:
    """A chat, as the published client holds it: its messages are put together from deltas."""

    def __init__(
        self,
        client: ChaosClient,
        rng: random.Random,
        complain: Callable[[str, str], None],
    ) -> None:
        self._client = client
        self._random = rng
        self._complain = complain
        self._reader: Reader | None = None
        self.id = ""

    async def say(self) -> bool:
        """Say something new; False if the run ended, or it was refused."""
        history = self._client.history
        sent = Sent(self.id, "chat", new_token(), self._client.new_key(), is_ephemeral=False)
        history.sent.append(sent)
        body: dict[str, Any] = {"message": message(sent.token)}
        path = f"{THREADS}/{self.id}/messages"
        if not self.id:
            path, body = THREADS, {"messages": [message(sent.token)]}
        answer = await self._client.ask("POST", path, key=sent.key, json=body)
        sent.ended = time.time()
        if answer is None:
            return False
        sent.answer = answer.text
        if not answer.is_success:
            sent.fate = Fate.REFUSED
            self._complain(self.id, f"a message was refused: {answer.text}")
            return False
        sent.fate = Fate.ACKED
        if not self.id:
            self.id = sent.session_id = answer.json()["data"]["thread_id"]
            history.sessions[self.id] = "chat"
            self._reader = Reader(self._client.http, self.id)
        return True

    @property
    def has_failed(self) -> bool:
        assert self._reader is not None
        return bool(self._reader.messages) and self._reader.messages[-1]["status"] == "failed"

    async def is_answered(self) -> bool:
        """Follow it until it is the user's turn; False if the run ended before."""
        assert self._reader is not None
        while True:
            wait = self._random.choice([0.0, 2.0, 10.0])
            params = {"next_token": self._reader.token}
            path = f"{THREADS}/{self.id}/delta"
            answer = await self._client.ask("GET", path, wait=wait, params=params)
            if answer is None:
                return False
            if not answer.is_success:
                self._complain(self.id, f"a delta was refused: {answer.text}")
                return False
            delta = answer.json()["data"]
            try:
                self._reader.apply(delta)
            except AssertionError as error:
                self._complain(self.id, f"{error}: {delta}")
                return False
            if delta["status"] == "user_turn":
                return True
            await asyncio.sleep(0.1)

    async def compare(self) -> None:
        """What was put together from deltas must be what the thread holds."""
        assert self._reader is not None
        answer = await self._client.ask("GET", f"{THREADS}/{self.id}")
        if answer is None:
            return
        held = self._reader.transcript
        there = transcript(answer.json()["data"]["messages"])
        if held != there:
            self._complain(self.id, f"deltas gave {held}, the thread holds {there}")

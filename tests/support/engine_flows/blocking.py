"""A flow whose hooks would hold the service up, each in a way of its own."""

import asyncio
import time
from typing import Any

from app.flows import Render, SessionMachine, SessionModel, State


class BlockingMachine(SessionMachine):
    """Its hooks are synchronous, so its machine is, too."""

    a = State(initial=True)
    b = State()
    go = a.to(b, on="act") | b.to(a)
    ping = a.to.itself(on="send_pong")
    pong = a.to.itself(on="send_ping")

    templates = {"a": Render("a"), "b": Render("b")}

    def act(self, actor_input: str) -> None:
        self.model.count += 1
        match actor_input:
            case "delay":
                self.send("go", delay=1e14)
            case "exit":
                raise SystemExit(3)
            case "cancel":
                raise asyncio.CancelledError
            case "block":
                time.sleep(0.15)

    def send_pong(self) -> None:
        self.model.count += 1
        self.send("pong")

    def send_ping(self) -> None:
        self.raise_("ping")


class Blocking(SessionModel):
    machine = BlockingMachine

    count: int = 0


class WaitingMachine(BlockingMachine):
    """The same, where one of the hooks is async."""

    async def send_pong(self) -> None:
        self.model.count += 1
        await self.send("pong")

    async def send_ping(self) -> None:
        await self.raise_("ping")

    async def on_enter_b(self, actor_input: str) -> None:
        self.model.count += 1
        match actor_input:
            case "wait":
                await asyncio.Event().wait()
            case "stay":
                await _stay()
            case "async exit":
                raise SystemExit(3)
            case "async block":
                time.sleep(0.15)  # noqa: ASYNC251 - what it must not do


async def _stay() -> Any:
    """Waits on for a while when it is cancelled."""
    for _ in range(3):
        try:
            await asyncio.sleep(2)
        except asyncio.CancelledError:
            continue


class Waiting(SessionModel):
    machine = WaitingMachine

    count: int = 0

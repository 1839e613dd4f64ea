"""Faults by seed, most of them alone, and what this machine itself does to the run."""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import asyncpg
from redis.exceptions import RedisError

from app.dev.process import StartError
from tests.chaos.deployment import Deployment
from tests.chaos.fault import Fault
from tests.chaos.faults import KINDS, set_of_server


@dataclass
class Schedule:
    """Does faults by seed until the run ends, most of them alone.

    Attributes:
        pause: seconds between two, from and to.
        faults: what was done.
    """

    deployment: Deployment
    seed: int
    kinds: list[str]
    pause: tuple[float, float] = (0.5, 4.0)
    faults: list[Fault] = field(default_factory=list)

    async def run(self, is_over: Callable[[], bool]) -> None:
        """Go on until it is over; at the end all is healed."""
        rng = random.Random(f"faults {self.seed}")
        kinds = [kind for kind in self.kinds if kind != "full disk" or self.deployment.has_disk]
        weights = [KINDS[kind].weight for kind in kinds]
        while not is_over():
            await asyncio.sleep(rng.uniform(*self.pause))
            number = 1 if rng.random() < 0.75 else 2
            chosen = rng.choices(kinds, weights, k=number)
            if len(set(chosen)) < number or ("full redis" in chosen and number > 1):
                chosen = chosen[:1]
            await asyncio.gather(*(self._do(kind, rng) for kind in chosen))
            await self._mend()

    async def _do(self, name: str, rng: random.Random) -> None:
        kind = KINDS[name]
        seconds = rng.uniform(*kind.seconds)
        fault = Fault(name, time.time())
        self.faults.append(fault)
        try:
            async with kind.run(self.deployment, rng) as target:
                fault.target = target
                await asyncio.sleep(seconds)
        except (asyncpg.PostgresError, RedisError, OSError, StartError):
            # Another fault was in the way of this one, such as a lock on a server that was killed.
            pass
        finally:
            fault.ended = time.time()

    async def _mend(self) -> None:
        """What a pair of faults may have left behind."""
        await self.deployment.restore()
        with suppress(asyncpg.PostgresError, OSError):
            await set_of_server(self.deployment, "ALTER SYSTEM RESET default_transaction_read_only")


async def note_slow_machine(faults: list[Fault]) -> None:
    """Note as a fault whenever this machine held us up, for then it held up everybody."""
    while True:
        began = time.time()
        await asyncio.sleep(0.2)
        if time.time() - began > 1.0:
            faults.append(Fault("slow machine", began, "", time.time()))

"""Calls of one moment are answered together, each with its own answer."""

import asyncio

import pytest

from app.kit.concurrency.batch import Batch


class Doubler:
    """Doubles numbers, and remembers what it was handed together; refuses 13."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, numbers: list[int]) -> list[int]:
        self.calls.append(numbers)
        await self.gate.wait()
        if 13 in numbers:
            raise ValueError("13")
        return [2 * number for number in numbers]


@pytest.fixture
def doubler() -> Doubler:
    return Doubler()


async def test_one_moment_is_one_call(doubler: Doubler) -> None:
    batch = Batch(doubler)

    assert await asyncio.gather(*(batch(n) for n in (3, 1, 2))) == [6, 2, 4]
    assert await batch(5) == 10
    assert doubler.calls == [[3, 1, 2], [5]]


async def test_what_comes_while_a_call_is_out_goes_with_the_next(doubler: Doubler) -> None:
    batch = Batch(doubler)
    doubler.gate.clear()
    first = asyncio.create_task(batch(1))
    await asyncio.sleep(0.01)
    later = [asyncio.create_task(batch(n)) for n in (2, 3)]
    await asyncio.sleep(0.01)
    assert doubler.calls == [[1]]
    doubler.gate.set()

    assert await asyncio.gather(first, *later) == [2, 4, 6]
    assert doubler.calls == [[1], [2, 3]]


async def test_no_call_is_larger_than_most(doubler: Doubler) -> None:
    batch = Batch(doubler, most=2)

    assert await asyncio.gather(*(batch(n) for n in range(5))) == [0, 2, 4, 6, 8]
    assert doubler.calls == [[0, 1], [2, 3], [4]]


async def test_the_fault_of_one_is_not_the_fault_of_all(doubler: Doubler) -> None:
    batch = Batch(doubler)

    one, bad, two = await asyncio.gather(*(batch(n) for n in (1, 13, 2)), return_exceptions=True)

    assert (one, two) == (2, 4)
    assert isinstance(bad, ValueError)
    assert await batch(7) == 14


async def test_who_no_longer_waits_takes_nobody_s_answer(doubler: Doubler) -> None:
    batch = Batch(doubler)
    doubler.gate.clear()
    gone, stays = asyncio.create_task(batch(1)), asyncio.create_task(batch(2))
    await asyncio.sleep(0.01)
    gone.cancel()
    doubler.gate.set()

    assert await stays == 4
    assert gone.cancelled()

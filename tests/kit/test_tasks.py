"""Ending tasks: also those that swallow a cancellation, also while being cancelled."""

import asyncio

from app.kit.concurrency.tasks import end_tasks


async def stubborn(started: asyncio.Event, swallows: int) -> None:
    """Goes on after so many cancellations."""
    started.set()
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallows -= 1
            if swallows < 0:
                raise


async def failing() -> None:
    raise ValueError("nobody looks at it")


async def test_a_swallowed_cancellation_is_sent_again() -> None:
    started = asyncio.Event()
    task = asyncio.create_task(stubborn(started, swallows=2))
    await started.wait()

    await end_tasks(task)

    assert task.cancelled()


async def test_what_tasks_raise_is_dropped() -> None:
    task = asyncio.create_task(failing())
    await asyncio.wait({task})

    await end_tasks(task)
    await end_tasks()


async def test_a_cancelled_end_still_ends_the_tasks() -> None:
    started = asyncio.Event()
    inner = asyncio.create_task(stubborn(started, swallows=3))
    await started.wait()

    async def owner() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await end_tasks(inner)

    outer = asyncio.create_task(owner())
    await asyncio.sleep(0)
    await end_tasks(outer)  # cancels it again while it still waits for the inner one

    assert inner.cancelled()
    assert outer.cancelled()

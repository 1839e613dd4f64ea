"""What orgs share inside a process: names that are looked up, templates, and places in general."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from app.flows.rendering.jinja import TemplateTimeoutError
from app.flows.rendering.sandbox import SandboxLimits, SandboxRenderer
from app.invokers.web.resolver import Resolver
from app.kit.concurrency.shares import Shares, work_for

_ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


@pytest.fixture
def unanswered() -> Iterator[threading.Event]:
    """Names of `.slow` are looked up until it is set."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def looked_up() -> list[str]:
    return []


@pytest.fixture
def resolver(unanswered: threading.Event, looked_up: list[str]) -> Resolver:
    def look_up(host: str, port: int) -> list[str]:
        looked_up.append(host)
        if host.endswith(".slow"):
            unanswered.wait(10)
        if host.endswith(".none"):
            raise OSError(port)
        return ["192.0.2.1"]

    return Resolver(look_up, places=8, each=4, seconds=0.2, forget_seconds=0.4)


async def resolved(resolver: Resolver, org_id: str, host: str) -> list[str]:
    work_for(org_id)
    return await resolver(host, 443)


async def test_slow_names_of_one_org_do_not_stop_the_names_of_another(
    resolver: Resolver, unanswered: threading.Event, looked_up: list[str]
) -> None:
    flood = [asyncio.create_task(resolved(resolver, "flood", f"{n}.slow")) for n in range(30)]
    await asyncio.sleep(0)

    assert await asyncio.create_task(resolved(resolver, "other", "fine.example")) == ["192.0.2.1"]

    assert not any(task.done() for task in flood)
    errors = await asyncio.gather(*flood, return_exceptions=True)
    assert all(isinstance(error, OSError) for error in errors)  # in time, though no thread ended
    assert len([host for host in looked_up if host.endswith(".slow")]) == 4
    with pytest.raises(OSError, match="in time"):  # its threads are busy still
        await asyncio.create_task(resolved(resolver, "flood", "fine.example"))
    unanswered.set()
    assert await asyncio.create_task(resolved(resolver, "flood", "fine.example"))


@pytest.mark.parametrize("host", ["a.none", "a.slow"])
async def test_a_name_that_failed_is_not_looked_up_again_at_once(
    resolver: Resolver, looked_up: list[str], host: str
) -> None:
    for _ in range(3):
        with pytest.raises(OSError, match=r".*"):
            await resolver(host, 443)
    assert looked_up == [host]

    await asyncio.sleep(0.41)
    with pytest.raises(OSError, match=r".*"):
        await resolver(host, 443)
    assert looked_up == [host, host]


async def test_runaway_templates_of_one_org_do_not_hold_up_new_ones_of_another() -> None:
    order: list[str] = []

    async def render(org_id: str, text: str) -> None:
        work_for(org_id)
        try:
            await renderer.render(text, {})
        except TemplateTimeoutError:
            order.append("stopped")
        else:
            order.append(org_id)

    async with SandboxRenderer(SandboxLimits(cpu_seconds=0.05)) as renderer:
        flood = [asyncio.create_task(render("flood", f"{_ENDLESS}{number}")) for number in range(4)]
        await asyncio.sleep(0)
        await asyncio.create_task(render("other", "{{ 6 * 7 }}"))
        for task in flood:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)

    assert order == ["stopped", "other"]


async def test_places_are_given_out_in_turns() -> None:
    shares, order = Shares(2, each=2), list[str]()

    async def use(org_id: str) -> None:
        async with shares.place(org_id):
            order.append(org_id)
            await asyncio.sleep(0)

    await asyncio.gather(*(use(org_id) for org_id in ["a"] * 6 + ["b"] * 2 + ["c"]))

    assert sorted(order[2:6]) == ["a", "b", "b", "c"]
    assert len(order) == 9

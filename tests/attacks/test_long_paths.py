"""What takes long of a flow is done beside the event loop: paths, expressions, checks of seeds."""

import time

import httpx
from httpx import AsyncClient

from tests.support.flows import Session, flow_of
from tests.support.manifests import manifest, post

NUMBERS = f"[{','.join(['1'] * 4_000)}]"


def share_of_the_loop(began: tuple[float, float]) -> float:
    """Of the processor time since then, the part that this thread took, where the loop runs."""
    return (time.thread_time() - began[0]) / (time.process_time() - began[1])


async def test_the_paths_of_a_plan_are_evaluated_off_the_event_loop(client: AsyncClient) -> None:
    path = "parsed_actor_input[?@ > `-1`][?@ > `-1`][?@ > `-1`][?@ > `-1`][?@ > `1e9`]"
    template = {"map": {"over": path, "template": "x"}}
    await post(client, "apply", manifest("Flow", "slow", flow_of(template)))
    shares = []
    for _ in range(3):
        session = await Session.start(client, "slow")
        began = time.thread_time(), time.process_time()
        answer: httpx.Response = await session.post("user_input", NUMBERS)
        shares.append(share_of_the_loop(began))
        assert answer.status_code == 200, answer.text
    assert min(shares) < 0.5


async def test_expressions_over_much_data_are_evaluated_off_the_event_loop(
    client: AsyncClient,
) -> None:
    """One event may take 0.2 s of them; each of these looks at all of the list."""
    spec = flow_of("x")
    asked = spec["statechart"]["states"]["waiting"]["transitions"]
    asked[0]["cond"] = " or ".join(["-1 in parsed_actor_input"] * 30)
    asked.append({"event": "user_input", "target": "waiting"})
    await post(client, "apply", manifest("Flow", "slow", spec))
    shares = []
    for _ in range(3):
        session = await Session.start(client, "slow")
        began = time.thread_time(), time.process_time()
        answer: httpx.Response = await session.post("user_input", f"[{','.join(['1'] * 90_000)}]")
        shares.append(share_of_the_loop(began))
        assert answer.status_code == 200, answer.text
    assert min(shares) < 0.7


async def test_large_seed_data_are_checked_off_the_event_loop(client: AsyncClient) -> None:
    texts = {"type": "array", "items": {"type": "string", "pattern": "^(a|b)*c?$"}}
    await post(client, "apply", manifest("Flow", "slow", flow_of("x") | {"model": {"all": texts}}))
    shares = []
    for _ in range(3):
        began = time.thread_time(), time.process_time()
        seed = {"all": ["abab" * 5] * 8_000}
        answer = await client.post("/v1/ai/slow/start_session", json={"seed_data": seed})
        shares.append(share_of_the_loop(began))
        assert answer.status_code == 200, answer.text
    assert min(shares) < 0.7

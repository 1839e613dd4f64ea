"""People are asked, everything is stopped, and days later others go on from what is stored."""

import httpx
from fastapi import FastAPI
from redis.asyncio import Redis

from app.access.service import create_key
from app.db.engine import Database
from app.settings import Settings
from app.worker import serving as worker_of
from tests.support.flows import Session, flow_of
from tests.support.http import serving
from tests.support.http_server import HttpServer
from tests.support.manifests import manifest, post
from tests.support.shop import connect, declare, reachable
from tests.support.threads import data, rested, settled, start, texts

ASKING = {
    "chain": [
        {"ask": {"message": "How much?", "schema": {"required": ["amount"]}}},
        "{{ parsed_previous_result.amount }} for {{ actor_input }}",
    ]
}


async def test_a_turn_goes_on_after_everything_was_stopped_and_redis_emptied(
    api: FastAPI, settings: Settings, database: Database, redis: Redis
) -> None:
    settings = reachable(settings)
    api.state.settings = settings
    async with database.transaction() as db:
        key = await create_key(db, settings, org="Acme", user="ann@acme.example")
    script = 'call delete-order {"order_id": "A1"}\nthen\nIt is gone.'

    async with HttpServer() as shop:
        async with serving(api) as client, worker_of(settings):
            _authorize(client, key.api_key)
            await connect(client, shop)
            await declare(client, "delete-order")
            tools = ["delete-order"]
            thread = await start(client, script, model_profile="script", tools=tools)
            thread = await rested(client, thread["thread_id"])
            [action] = thread["required_actions"]
            await post(client, "apply", manifest("Flow", "asking", flow_of(ASKING)))
            budget = {"turn": {"max_steps": 1}}
            calls = "call client_nothing\nthen\nEnough."
            spent = await start(client, calls, model_profile="script", budget=budget)
            spent = await rested(client, spent["thread_id"])
            session = await Session.start(client, "asking")
            await session.post("user_input", "order 7")
            while not (question := (await session.poll())["required_actions"]):
                pass

        async for name in redis.scan_iter(f"*{settings.redis_prefix}*", count=1000):
            await redis.unlink(name)
        assert shop.requests == []

        async with serving(api) as client:
            _authorize(client, key.api_key)
            url = f"/v1/ai/actions/{action['action_id']}/resolve"
            data(await client.post(url, json={"decision": "approve"}))
            url = f"/v1/ai/actions/{spent['required_actions'][0]['action_id']}/resolve"
            raised = {"decision": "approve", "arguments": {"max_steps": 2}}
            data(await client.post(url, json=raised))
            url = f"/v1/ai/actions/{question[0]['action_id']}/resolve"
            data(await client.post(url, json={"decision": "answer", "result": {"amount": 5}}))
        async with serving(api) as client, worker_of(settings):
            _authorize(client, key.api_key)
            thread = await settled(client, thread["thread_id"])
            spent = await settled(client, spent["thread_id"])
            session = Session(client, "asking", session.answer)
            while (answer := await session.poll())["next_actions"] == ["poll"]:
                pass

    assert answer["response"] == "5 for order 7"
    assert [request.url for request in shop.requests] == ["/v2/orders/A1"]
    assert texts(thread)[-1] == "It is gone."
    assert texts(spent)[-1] == "Enough."


def _authorize(client: httpx.AsyncClient, api_key: str) -> None:
    client.headers["Authorization"] = f"Bearer {api_key}"

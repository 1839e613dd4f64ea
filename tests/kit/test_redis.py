"""The client of Redis: what opens its breaker, and how it ends."""

import asyncio
import gc
import warnings

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from app.kit.redis import open_redis
from app.settings import Settings


@pytest.mark.parametrize(
    "answer",
    [
        "MOVED 3999 10.0.0.1:6379",
        "ASK 3999 10.0.0.1:6379",
        "CLUSTERDOWN Hash slot not served",
        "MISCONF Errors writing to the RDB file",
        "NOREPLICAS Not enough good replicas to write.",
        "NOPERM User has no permissions to run the command",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "READONLY You can't write against a read only replica.",
        "BUSY Valkey is busy running a script.",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "ERR max daily request limit exceeded",
    ],
)
async def test_a_server_that_refuses_does_not_work(answer: str) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while command := await reader.read(4096):
            # `CLIENT SETINFO`, with which a connection begins, is answered by any node.
            lines = [
                b"+OK" if b"SETINFO" in part else f"-{answer}".encode()
                for part in command.split(b"*")[1:]
            ]
            writer.write(b"".join(line + b"\r\n" for line in lines))
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with open_redis(f"redis://127.0.0.1:{port}/0", "{test}") as redis:
            assert redis.works
            with pytest.raises(RedisConnectionError):
                await redis.get("{test}:key")
            assert not redis.works


async def test_a_client_that_is_closed_leaves_no_connection(settings: Settings) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", ResourceWarning)
        async with open_redis(settings.redis_url, "{test}") as redis:
            await redis.ping()
            running = [asyncio.create_task(redis.ping()) for _ in range(5)]
            await asyncio.sleep(0)
        assert await asyncio.gather(*running) == [True] * 5
        with pytest.raises(RedisConnectionError):
            await redis.ping()
        del redis
        gc.collect()
    assert [str(one.message) for one in seen] == []

"""The floor: bare FastAPI and asyncpg, one insert for each POST, one select for each GET.

python -m bench.floor DATABASE_URL PORT
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import uvicorn
from fastapi import FastAPI

_TABLE = """
CREATE TABLE IF NOT EXISTS bench_floor (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL,
  created timestamptz NOT NULL DEFAULT clock_timestamp())"""


def create_floor(database_url: str) -> FastAPI:
    """The whole application."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(database_url, min_size=4, max_size=16) as pool:
            await pool.execute(_TABLE)
            app.state.pool = pool
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/items")
    async def insert(item: dict[str, str]) -> dict[str, Any]:
        row = await app.state.pool.fetchrow(
            "INSERT INTO bench_floor (body) VALUES ($1) RETURNING id", item["body"]
        )
        return {"id": row["id"]}

    @app.get("/items/{item_id}")
    async def select(item_id: int) -> dict[str, Any]:
        row = await app.state.pool.fetchrow(
            "SELECT id, body, created FROM bench_floor WHERE id = $1", item_id
        )
        return dict(row)

    return app


if __name__ == "__main__":
    uvicorn.run(
        create_floor(sys.argv[1]),
        port=int(sys.argv[2]),
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
    )

"""The journal keeps what its retention says, and no more."""

import anyio
import httpx
from fastapi import FastAPI

from app.settings import JournalSettings, Settings
from app.worker import serving
from tests.support.manifests import manifest, post

# More than are deleted at once.
OLD = """
INSERT INTO journal (id, org_id, user_id, command, status, duration_ms)
SELECT 'jrn_01' || lpad(n::text, 24, '0'), org_id, id, 'version', 200, 1
FROM "user", generate_series(1, 1100) AS n
"""
COUNT = "SELECT count(*) FROM journal WHERE command = 'version'"


async def test_old_entries_are_deleted_and_others_stay(
    client: httpx.AsyncClient, api: FastAPI, settings: Settings
) -> None:
    pool = api.state.database.pool
    await post(client, "apply", manifest("Dataset", "d"))
    await pool.execute(OLD)

    often = settings.model_copy(update={"journal": JournalSettings(sweep_seconds=0.05)})
    async with serving(often):
        with anyio.fail_after(20):
            while await pool.fetchval(COUNT):  # noqa: ASYNC110 - the sweeper tells nobody
                await anyio.sleep(0.05)

    logs = (await post(client, "logs/dataset", name="d"))["data"]["data"]["items"]
    assert [item["text"] for item in logs] == ["apply: created"]

"""Every way for a request to fail ends in a problem document."""

import asyncio
import socket
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, Field, field_validator
from sqlalchemy import CursorResult, text
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access.caller import KeyScope
from app.api.deps import CallerDep, DatabaseDep, DbDep, Reader, Writer
from app.db.engine import Database
from app.errors import ConflictError, EventNotAcceptedError
from app.kit.paging import decode_token
from app.main import create_app
from app.settings import Settings
from tests.support.http import NewKey, Serve


async def sql(db: AsyncSession, statement: str) -> CursorResult[Any]:
    """Plain SQL in the request's transaction."""
    return await (await db.connection()).execute(text(statement))


PATHS = ("any", "read", "write", "admin")


class Order(BaseModel):
    """A body with faults to find."""

    name: str = Field(max_length=3)
    count: int

    @field_validator("count")
    @classmethod
    def _even(cls, count: int) -> int:
        if count % 2:
            raise ValueError("must be even")
        return count


faults = APIRouter()


@faults.get("/refused")
async def refused() -> None:
    raise EventNotAcceptedError(
        "No such event.", extra={"possible_events": ["go"]}, retry_after=0.2
    )


@faults.get("/broken")
async def broken() -> None:
    raise RuntimeError("the secret is 4711")


@faults.get("/page")
async def page(page_token: str) -> list[str]:
    return decode_token(page_token)


@faults.post("/orders")
async def orders(order: Order) -> Order:
    return order


@faults.get("/query")
async def query(db: DbDep) -> int:
    return int((await sql(db, "SELECT 1")).scalar_one())


@faults.get("/raw")
async def raw(database: DatabaseDep) -> int:
    return int(await database.pool.fetchval("SELECT 1"))


@faults.post("/touch")
async def touch(db: DbDep) -> None:
    await sql(db, "UPDATE org SET name = name")


@faults.post("/touch-raw")
async def touch_raw(database: DatabaseDep) -> None:
    await database.pool.execute("UPDATE org SET name = name")


@faults.post("/cut-off")
async def cut_off(db: DbDep) -> None:
    await sql(db, "SELECT pg_terminate_backend(pg_backend_pid())")


@faults.post("/commit-fails")
async def commit_fails(db: DbDep) -> str:
    raises = "LANGUAGE plpgsql AS $$BEGIN RAISE 'no'; END$$"
    await sql(db, f"CREATE FUNCTION pg_temp.fail() RETURNS trigger {raises}")
    await sql(db, "CREATE TEMP TABLE t (n int)")
    late = "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pg_temp.fail()"
    await sql(db, f"CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t {late}")
    await sql(db, "INSERT INTO t VALUES (1)")
    return "saved"


@faults.post("/commit-conflicts")
async def commit_conflicts(db: DbDep) -> str:
    await sql(db, "CREATE TEMP TABLE t (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    await sql(db, "INSERT INTO t VALUES (1), (1)")
    return "saved"


@faults.post("/conflict")
async def conflict(db: DbDep) -> None:
    await sql(db, "INSERT INTO org (id, name) VALUES ('org_x', 'x')")
    raise ConflictError("No.")


@faults.get("/any")
async def any_key(caller: CallerDep) -> str:
    return caller.email


@faults.get("/read")
async def read(caller: Reader) -> str:
    return caller.email


@faults.get("/write")
async def write(caller: Writer) -> str:
    return caller.email


@faults.get("/admin")
async def admin(caller: CallerDep) -> str:
    caller.require(KeyScope.ADMIN)
    return caller.email


@pytest.fixture
def api(settings: Settings) -> FastAPI:
    """The application, with endpoints that fail in each way."""
    app = create_app(settings)
    app.include_router(faults)
    return app


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of an answer, checked for what all of them have."""
    document: dict[str, Any] = answer.json()
    assert answer.status_code == status, document
    assert answer.headers["content-type"] == "application/problem+json"
    assert document["type"] == f"urn:statewright:problem:{code}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    assert document["instance"] == answer.request.url.path
    return document


async def test_our_errors_bring_their_members_and_headers(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.get("/refused")

    document = problem(answer, 409, "event-not-accepted")
    assert document["detail"] == "No such event."
    assert document["possible_events"] == ["go"]
    assert answer.headers["retry-after"] == "1"


async def test_an_unknown_path_and_a_wrong_method(anonymous: httpx.AsyncClient) -> None:
    problem(await anonymous.get("/nowhere"), 404, "not-found")
    wrong = await anonymous.delete("/health/live")
    problem(wrong, 405, "method-not-allowed")
    assert wrong.headers["allow"] == "HEAD, GET"


async def test_bad_input_is_a_400_that_says_where(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.post("/orders", json={"name": "long", "count": 3})

    document = problem(answer, 400, "bad-request")
    assert {(tuple(error["loc"]), error["msg"]) for error in document["errors"]} == {
        (("body", "name"), "String should have at most 3 characters"),
        (("body", "count"), "must be even"),
    }
    assert "and 1 more" in document["detail"]


async def test_json_without_its_content_type_is_told_so(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.post("/orders", content=b'{"name": "a", "count": 2}')

    assert "Content-Type: application/json" in problem(answer, 400, "bad-request")["detail"]


async def test_a_bad_page_token_is_a_400(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.get("/page", params={"page_token": "mine"})

    document = problem(answer, 400, "bad-request")
    assert document["errors"][0]["loc"] == ["query", "page_token"]


async def test_a_fault_of_ours_shows_nothing_but_the_request_id(
    anonymous: httpx.AsyncClient, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = await anonymous.get("/broken", headers={"X-Request-Id": "abc-1"})

    document = problem(answer, 500, "internal")
    assert document["request_id"] == "abc-1"
    assert "4711" not in answer.text
    assert "Traceback" not in answer.text


async def test_postgresql_away_is_a_503(settings: Settings, api: FastAPI, serve: Serve) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        api.state.settings = settings.model_copy(
            update={"database_url": f"postgresql://nobody@127.0.0.1:{port}/none"}
        )
        async with serve(api) as client:
            for path in ("/query", "/raw"):
                answer = await client.get(path)
                problem(answer, 503, "unavailable")
                assert int(answer.headers["retry-after"]) >= 1


async def test_a_connection_cut_in_mid_request_is_a_503(anonymous: httpx.AsyncClient) -> None:
    problem(await anonymous.post("/cut-off"), 503, "unavailable")
    assert (await anonymous.get("/query")).json() == 1


@pytest.mark.parametrize("path", ["/touch", "/touch-raw"])
async def test_a_row_that_stays_locked_is_a_503(
    client: httpx.AsyncClient, database: Database, path: str
) -> None:
    async with database.transaction() as holder:
        await sql(holder, "SELECT 1 FROM org FOR UPDATE")
        answer = await client.post(path, timeout=10)

    problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_a_failed_commit_is_a_failed_request(anonymous: httpx.AsyncClient) -> None:
    problem(await anonymous.post("/commit-fails"), 500, "internal")
    problem(await anonymous.post("/commit-conflicts"), 409, "conflict")


async def test_an_error_rolls_the_request_back(
    anonymous: httpx.AsyncClient, database: Database
) -> None:
    problem(await anonymous.post("/conflict"), 409, "conflict")

    assert await database.pool.fetchval("SELECT count(*) FROM org") == 0


async def test_a_key_may_do_what_its_scope_includes(
    anonymous: httpx.AsyncClient, new_key: NewKey
) -> None:
    allowed = {}
    for scope in KeyScope:
        key = await new_key(scopes=[scope])
        header = {"Authorization": f"Token {key.api_key}"}
        answers = [await anonymous.get(f"/{path}", headers=header) for path in PATHS]
        allowed[scope.value] = [answer.status_code for answer in answers]

    assert allowed == {
        "read": [200, 200, 403, 403],
        "write": [200, 200, 200, 403],
        "approve": [200, 200, 403, 403],
        "admin": [200, 200, 200, 200],
    }


async def test_a_401_says_how_to_authenticate(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.get("/any")

    problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_requests_have_ids(anonymous: httpx.AsyncClient) -> None:
    made = (await anonymous.get("/health/live")).headers["x-request-id"]
    kept = await anonymous.get("/health/live", headers={"X-Request-Id": "mine:1"})
    replaced = await anonymous.get("/health/live", headers={"X-Request-Id": "a b"})

    assert made.startswith("req_")
    assert kept.headers["x-request-id"] == "mine:1"
    assert replaced.headers["x-request-id"].startswith("req_")


async def test_requests_at_once_do_not_share_ids(anonymous: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(anonymous.get("/broken") for _ in range(10)))

    for answer in answers:
        assert answer.json()["request_id"] == answer.headers["x-request-id"]

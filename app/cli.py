"""The `statewright` command.

The big processes are imported by the commands that run them: the others answer at once.
"""
# ruff: noqa: PLC0415

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Annotated, Any, TypeVar

import asyncpg
import typer
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access import service
from app.access.caller import Scope
from app.db.engine import Database, is_away
from app.db.migrate import migrate as run_migrations
from app.dev.attach import attach, with_secret_key
from app.dev.process import StartError
from app.errors import BadRequestError, FlowPackageError
from app.settings import Settings

_GRACE_SECONDS = 30  # for running requests, when the API is told to stop
_T = TypeVar("_T")

app = typer.Typer(
    help="Declare AI agents, launch them, and drive their conversations as durable state machines."
    " Settings are read from the environment: DATABASE_URL, REDIS_URL, STATEWRIGHT_….",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
keys = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)
app.add_typer(keys, name="key")

DataDirOption = Annotated[
    Path, typer.Option("--data-dir", help="Directory of `statewright dev`.", file_okay=False)
]
_DEV_DIR = Path(".statewright")


@app.command()
def dev(
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of the API; 0: any free one. [default: 8000]"),
    ] = None,
    data_dir: DataDirOption = _DEV_DIR,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 1,
) -> None:
    """Run everything on this machine: PostgreSQL, Valkey, migrations, the API, workers.

    A service whose address is set (DATABASE_URL, REDIS_URL) is used and not started. Ctrl-C stops
    everything; the data stays in the data directory.
    """
    from app.dev.run import run_dev

    with _one_line_errors():
        settings = _settings()
        if port is not None:
            settings = _changed(settings, "api", {"port": port})
        run_dev(settings, data_dir=data_dir, workers=workers, say=typer.echo)


@app.command()
def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on.")] = None,
) -> None:
    """Serve the HTTP API."""
    import uvicorn

    from app.main import create_app

    with _one_line_errors():
        settings = _settings()
        uvicorn.run(
            create_app(settings),
            host=host or settings.api.host,
            port=port or settings.api.port,
            loop="uvloop",
            http="httptools",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )


@app.command()
def worker(
    queue: Annotated[
        list[str] | None, typer.Option(help="A queue to serve; may be given more than once.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="How many steps to run at once.")
    ] = None,
) -> None:
    """Run steps, until SIGTERM or Ctrl-C; those that run then are brought to their end."""
    from app.worker import run

    with _one_line_errors():
        given = {"queues": queue or None, "concurrency": concurrency}
        changes = {name: value for name, value in given.items() if value is not None}
        run(_changed(_settings(), "worker", changes))


@app.command()
def migrate() -> None:
    """Bring the database's tables up to date. May be run again, and by several at once."""
    with _one_line_errors():
        asyncio.run(run_migrations(_settings().database_url))
        typer.echo("The database is up to date.")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(package_version("statewright"))


@keys.command("create")
def key_create(
    *,
    org: Annotated[str, typer.Option(help="Name of the org; made if it is not there.")],
    user: Annotated[str, typer.Option(help="E-mail address; made if it is not there.")],
    scope: Annotated[
        list[Scope] | None,
        typer.Option(help="What the key may do; may be given more than once. [default: admin]"),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="When it ends, such as 2030-01-31T12:00:00Z.")
    ] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    data_dir: DataDirOption = _DEV_DIR,
) -> None:
    """Make an API key and print it as JSON. It is shown this once."""

    async def create(settings: Settings, db: AsyncSession) -> service.CreatedKey:
        settings = await with_secret_key(settings, db, data_dir)
        return await service.create_key(
            db,
            settings,
            org=org,
            user=user,
            scopes=scope or [Scope.ADMIN],
            expires_at=_moment(expires),
            description=description,
        )

    _print(asdict(_in_transaction(data_dir, create)))


@keys.command("list")
def key_list(
    org: Annotated[str | None, typer.Option(help="Only keys of this org.")] = None,
    data_dir: DataDirOption = _DEV_DIR,
) -> None:
    """Print all keys as JSON, newest first; the keys themselves are not known any more."""

    async def list_(_: Settings, db: AsyncSession) -> list[service.KeyView]:
        return await service.list_keys(db, org=org)

    _print([asdict(key) for key in _in_transaction(data_dir, list_)])


@keys.command("revoke")
def key_revoke(
    key_id: Annotated[str, typer.Argument(help="`key_id` as `key create` and `key list` show it.")],
    data_dir: DataDirOption = _DEV_DIR,
) -> None:
    """Refuse a key from now on."""

    async def revoke(_: Settings, db: AsyncSession) -> None:
        if not await service.revoke_key(db, key_id):
            raise StartError(f"There is no key {key_id!r} that is not revoked yet.")

    _in_transaction(data_dir, revoke)
    _print({"key_id": key_id, "revoked": True})


def _in_transaction(data_dir: Path, work: Callable[[Settings, AsyncSession], Awaitable[_T]]) -> _T:
    async def run() -> _T:
        settings = attach(_settings(), data_dir)
        async with (
            Database.open(settings.database_url, pool_size=1) as database,
            database.transaction() as db,
        ):
            return await work(settings, db)

    with _one_line_errors():
        return asyncio.run(run())


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        faults = [
            f"STATEWRIGHT_{'__'.join(str(part) for part in fault['loc']).upper()}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        ]
        raise StartError("; ".join(faults)) from None


def _changed(settings: Settings, concern: str, changes: dict[str, Any]) -> Settings:
    changed = getattr(settings, concern).model_copy(update=changes)
    return settings.model_copy(update={concern: changed})


def _moment(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        raise BadRequestError(
            f"--expires: {text!r} is no time such as 2030-01-31T12:00:00Z."
        ) from None


def _print(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, default=datetime.isoformat))


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Whatever goes wrong is told in one line, with exit code 1; only DEBUG shows where."""
    try:
        yield
    except Exception as error:
        if _is_debug():
            raise
        typer.echo(f"statewright: {_told(error)}", err=True)
        raise typer.Exit(1) from None


def _told(error: Exception) -> str:
    cause = error.orig.__cause__ if isinstance(error, DBAPIError) and error.orig else error
    if isinstance(cause, asyncpg.UndefinedTableError):
        return "The database has no tables of Statewright; run `statewright migrate`."
    if is_away(error):
        return f"PostgreSQL cannot be reached; is DATABASE_URL right? ({cause})"
    if isinstance(cause, FlowPackageError):
        return str(cause)  # a line for each fault
    text = " ".join(str(cause).split())
    known = isinstance(cause, StartError | BadRequestError | asyncpg.PostgresError | RuntimeError)
    return text if known else f"{type(cause).__name__}: {text}"


def _is_debug() -> bool:
    try:
        return Settings().log_level.upper() == "DEBUG"
    except ValidationError:
        return False


if __name__ == "__main__":
    app()

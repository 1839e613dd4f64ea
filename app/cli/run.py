"""The commands that run on this machine: `dev`, `api`, `worker`, `migrate`."""
# ruff: noqa: PLC0415 - each process is imported by the command that runs it

import asyncio
import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from app.cli.failures import one_line_errors
from app.cli.printing.output import write
from app.dev.process import StartError
from app.settings import Settings

_GRACE_SECONDS = 30  # for running requests, when the API stops

_OWN_FILES = 1_000  # of the API: connections to PostgreSQL and Redis, renderers, files

DEV_DIR = Path(".statewright")
DataDirOption = Annotated[
    Path, typer.Option("--data-dir", help="Directory of `statewright dev`.", file_okay=False)
]


def dev(
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of the API; 0: any free one. [default: 8000]"),
    ] = None,
    data_dir: DataDirOption = DEV_DIR,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 1,
) -> None:
    """Run everything on this machine: PostgreSQL, Valkey, migrations, the API, workers.

    A service whose address is set (DATABASE_URL, REDIS_URL) is used and not started. Ctrl-C stops
    everything; the data stays in the data directory.
    """
    with _importing():
        from app.dev.run import run_dev

    with one_line_errors():
        settings = read_settings()
        if port is not None:
            settings = _with_changes(settings, "api", {"port": port})
        run_dev(settings, data_dir=data_dir, workers=workers, say=typer.echo)


def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on.")] = None,
) -> None:
    """Serve the HTTP API."""
    with _importing():
        import uvicorn

        from app.api.http.limits.connections import bounded_protocol
        from app.kit.open_files import allow_open_files
        from app.main import create_app

    with one_line_errors():
        settings = read_settings()
        allow_open_files(settings.api.max_connections + _OWN_FILES)
        uvicorn.run(
            create_app(settings),
            host=host or settings.api.host,
            port=port or settings.api.port,
            loop="uvloop",
            http=bounded_protocol(settings.api),
            ws="none",
            proxy_headers=False,
            server_header=False,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            timeout_keep_alive=settings.api.keep_alive_seconds,
        )


def worker(
    queue: Annotated[
        list[str] | None, typer.Option(help="A queue to serve; may be given more than once.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="How many steps of each queue to run at once.")
    ] = None,
) -> None:
    """Run steps, until SIGTERM or Ctrl-C; those that run then are brought to their end."""
    with _importing():
        from app.worker import run

    with one_line_errors():
        given = {"queues": queue or None, "concurrency": concurrency}
        changes = {name: value for name, value in given.items() if value is not None}
        run(_with_changes(read_settings(), "worker", changes))


def migrate() -> None:
    """Bring the database's tables up to date. May be run again, and by several at once."""
    with one_line_errors():
        from app.db.migrate import migrate as run_migrations

        asyncio.run(run_migrations(read_settings().session_url, say=write))
        write("The database is up to date.")


def rotate_secrets() -> None:
    """Encrypt all secrets with the first of STATEWRIGHT_SECURITY__ENCRYPTION_KEYS.

    Put a new key in front, restart API and workers, run this, then take the old key away.
    """
    with one_line_errors():
        from app.access.crypto import Vault
        from app.db.engine import Database
        from app.manifests.rotation import rotate_secrets as rotate

        settings = read_settings()
        vault = Vault(settings.security.encryption_keys)

        async def run() -> int:
            async with Database.open(settings.database_url) as database:
                return await rotate(database, vault)

        write(f"{asyncio.run(run())} secrets encrypted with key {vault.key_id!r}.")


def openapi() -> None:
    """Print the API's OpenAPI document, to generate a client from; nothing has to run."""
    with one_line_errors():
        from app.main import create_app

        # Flows in code and keys are no part of the document.
        settings = Settings(dev=True, log_level="ERROR", flows_package=None)
        write(json.dumps(create_app(settings).openapi(), indent=2, ensure_ascii=False))


def read_settings() -> Settings:
    """The settings of the environment.

    Raises:
        StartError: one is wrong; the message names it.
    """
    try:
        return Settings()
    except ValidationError as error:
        faults = [
            f"STATEWRIGHT_{'__'.join(str(part) for part in fault['loc']).upper()}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        ]
        raise StartError("; ".join(faults)) from None


@contextmanager
def _importing() -> Iterator[None]:
    """Imports without garbage collections, and keeps later ones from looking at the modules.

    They are hundreds of thousands of objects that live as long as the process: looking for garbage
    among them while they are made takes a tenth of the time of the start.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _with_changes(settings: Settings, concern: str, changes: dict[str, Any]) -> Settings:
    changed = getattr(settings, concern).model_copy(update=changes)
    return settings.model_copy(update={concern: changed})

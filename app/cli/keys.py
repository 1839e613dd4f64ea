"""`statewright key`: make, list and revoke API keys, in the database itself."""
# ruff: noqa: PLC0415 - the database is imported by the commands that use it

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from pydantic import TypeAdapter, ValidationError

from app.access.caller import KeyScope
from app.cli.failures import one_line_errors
from app.cli.printing.output import write
from app.cli.run import DEV_DIR, DataDirOption, read_settings
from app.dev.process import StartError
from app.errors import BadRequestError
from app.kit.moment import Moment
from app.settings import Settings

if TYPE_CHECKING:
    from sqlmodel.ext.asyncio.session import AsyncSession

    from app.access.service import CreatedKey, KeyView

_T = TypeVar("_T")

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)


@app.command("create")
def key_create(
    *,
    org: Annotated[str, typer.Option(help="Name of the org; made if it is not there.")],
    user: Annotated[str, typer.Option(help="E-mail address; made if it is not there.")],
    scope: Annotated[
        list[KeyScope] | None,
        typer.Option(help="What the key may do; may be given more than once. [default: admin]"),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="When it ends, such as 2030-01-31T12:00:00Z.")
    ] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    data_dir: DataDirOption = DEV_DIR,
) -> None:
    """Make an API key and print it as JSON. It is shown this once."""

    async def create(settings: Settings, db: "AsyncSession") -> "CreatedKey":
        from app.access.service import create_key
        from app.dev.attach import with_secret_key

        settings = await with_secret_key(settings, db, data_dir)
        return await create_key(
            db,
            settings,
            org=org,
            user=user,
            scopes=scope or [KeyScope.ADMIN],
            expires_at=_moment(expires),
            description=description,
        )

    _print(asdict(_in_transaction(data_dir, create)))


@app.command("list")
def key_list(
    org: Annotated[str | None, typer.Option(help="Only keys of this org.")] = None,
    data_dir: DataDirOption = DEV_DIR,
) -> None:
    """Print all keys as JSON, newest first; the keys themselves are not known any more."""

    async def list_(_: Settings, db: "AsyncSession") -> list["KeyView"]:
        from app.access.service import list_keys

        return await list_keys(db, org=org)

    _print([asdict(key) for key in _in_transaction(data_dir, list_)])


@app.command("revoke")
def key_revoke(
    key_id: Annotated[str, typer.Argument(help="`key_id` as `key create` and `key list` show it.")],
    data_dir: DataDirOption = DEV_DIR,
) -> None:
    """Refuse a key from now on."""

    async def revoke(_: Settings, db: "AsyncSession") -> None:
        from app.access.service import revoke_key

        if not await revoke_key(db, key_id):
            raise StartError(f"There is no key {key_id!r} that is not revoked yet.")

    _in_transaction(data_dir, revoke)
    _print({"key_id": key_id, "revoked": True})


def _in_transaction(
    data_dir: Path, work: Callable[[Settings, "AsyncSession"], Awaitable[_T]]
) -> _T:
    from app.db.engine import Database
    from app.dev.attach import attach

    async def run() -> _T:
        settings = attach(read_settings(), data_dir)
        async with (
            Database.open(settings.database_url, pool_size=1) as database,
            database.transaction() as db,
        ):
            return await work(settings, db)

    with one_line_errors():
        return asyncio.run(run())


def _moment(text: str | None) -> datetime | None:
    try:
        return TypeAdapter(Moment).validate_python(text) if text else None
    except ValidationError:
        raise BadRequestError(
            f"--expires: {text!r} is no time such as 2030-01-31T12:00:00Z, nor a date."
        ) from None


def _print(value: Any) -> None:
    with one_line_errors():
        write(json.dumps(value, indent=2, default=datetime.isoformat))

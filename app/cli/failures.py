"""How a command fails: one line on stderr, and an exit code."""
# ruff: noqa: PLC0415 - only a command that uses the database pays for its driver

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from pydantic import ValidationError

from app.dev.process import StartError
from app.errors import FlowPackageError, StatewrightError, error_line
from app.settings import Settings


class CommandError(Exception):
    """A command cannot be carried out; the text says why, further lines say where."""


@contextmanager
def one_line_errors(exit_code: int = 1) -> Iterator[None]:
    """Reports any error of the block in one line; with log level DEBUG, raises it as it is."""
    try:
        yield
    except typer.Exit:
        raise
    except Exception as error:
        if _is_debug():
            raise
        typer.echo(f"statewright: {_text(error)}", err=True)
        raise typer.Exit(exit_code) from None


def _text(error: Exception) -> str:
    if isinstance(error, CommandError | FlowPackageError | StartError):
        return str(error)  # a line for each fault
    if isinstance(error, StatewrightError):
        return error_line(error)
    return _database_text(error)


def _database_text(error: Exception) -> str:
    import asyncpg
    from sqlalchemy.exc import DBAPIError

    from app.db.engine import is_unavailable

    cause = error.orig.__cause__ if isinstance(error, DBAPIError) and error.orig else error
    if isinstance(cause, asyncpg.UndefinedTableError):
        return "The database has no tables of Statewright; run `statewright migrate`."
    if is_unavailable(error):
        return f"PostgreSQL cannot be reached; is DATABASE_URL right? ({cause})"
    known = isinstance(cause, asyncpg.PostgresError | RuntimeError)
    text = error_line(cause) if cause else ""
    return text if known else f"{type(cause).__name__}: {text}"


def _is_debug() -> bool:
    try:
        return Settings().log_level.upper() == "DEBUG"
    except ValidationError:
        return False

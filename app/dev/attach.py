"""Lets a command that runs beside `statewright dev` use its database and its secret key."""

from pathlib import Path

from pydantic import BaseModel, SecretStr, ValidationError
from sqlalchemy import func
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.dev.data_dir import Secrets
from app.dev.process import StartError
from app.settings import Settings

# The embedded database says whose it is: a server setting, readable by every connection.
DATA_DIR_SETTING = "statewright.data_dir"


class _Running(BaseModel):
    database_url: str


def attach(settings: Settings, data_dir: Path) -> Settings:
    """The settings with the database of the `dev` on `data_dir`, if the environment names none."""
    running = _find_running(data_dir)
    if running is None or "database_url" in settings.model_fields_set:
        return settings
    return settings.model_copy(update={"database_url": running.database_url})


async def with_secret_key(settings: Settings, db: AsyncSession, data_dir: Path) -> Settings:
    """The settings with the secret key of the `dev` on this database, if the environment has none.

    Raises:
        StartError: there is none: API keys made without it would be refused.
    """
    if "secret_key" in settings.security.model_fields_set:
        return settings
    running = _find_running(data_dir)
    if running is None or running.database_url != settings.database_url:
        query = select(func.current_setting(DATA_DIR_SETTING, True))
        data_dir = Path((await db.exec(query)).one() or "/nonexistent")
    try:
        kept = Secrets.model_validate_json((data_dir / "secrets.json").read_bytes())
    except (OSError, ValidationError):
        raise StartError(
            "STATEWRIGHT_SECURITY__SECRET_KEY is not set. API keys depend on it: it must be the "
            "one that the API has."
        ) from None
    security = settings.security.model_copy(update={"secret_key": SecretStr(kept.secret_key)})
    return settings.model_copy(update={"security": security})


def _find_running(data_dir: Path) -> _Running | None:
    try:
        return _Running.model_validate_json((data_dir / "dev.json").read_bytes())
    except (OSError, ValidationError):
        return None

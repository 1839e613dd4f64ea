"""The directory of `statewright dev`: its lock, the secrets that it keeps, its logs, `dev.json`."""

import base64
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from app.dev.process import StartError


def _token() -> str:
    return secrets.token_hex(32)


class Secrets(BaseModel):
    """The secrets of a directory: made at the first start, kept for all later ones."""

    name: str = Field(default_factory=lambda: secrets.token_hex(8))
    postgres_password: str = Field(default_factory=_token)  # of its superuser
    service_password: str = Field(default_factory=_token)  # of the role that the service has
    redis_password: str = Field(default_factory=_token)
    secret_key: str = Field(default_factory=_token)
    encryption_key: str = Field(
        default_factory=lambda: f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}"
    )
    api_key: str | None = None
    org_id: str | None = None


class DataDir:
    """The directory of a `dev`, made if need be. What is secret in it only its owner can read."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.logs = self.path / "logs"
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.logs.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StartError(f"{self.path} cannot be used: {error.strerror}.") from None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps any other `statewright dev` off the directory; the kernel frees a dead one's lock.

        Raises:
            StartError: another one runs here.
        """
        with (self.path / "dev.lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise StartError(
                    f"`statewright dev` already runs on {self.path} (process {lock.read() or '?'})."
                    " Stop it first, or choose another --data-dir (and another --port)."
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    def log(self, name: str) -> Path:
        """The log file of a child; that of the start before is kept beside it."""
        log = self.logs / f"{name}.log"
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        log.touch(mode=0o600)
        return log

    def secrets(self) -> Secrets:
        """The secrets of this directory, made at the first call.

        Raises:
            StartError: their file is damaged.
        """
        file = self.path / "secrets.json"
        try:
            if file.exists():
                kept = Secrets.model_validate_json(file.read_bytes())
                if "service_password" not in kept.model_fields_set:  # of an earlier release
                    self.keep(kept)
                return kept
        except ValidationError:
            raise StartError(
                f"{file} is damaged. Restore it, or delete {self.path} to start anew."
            ) from None
        made = Secrets()
        self.keep(made)
        return made

    def keep(self, kept: Secrets) -> None:
        """Writes the secrets."""
        self._write("secrets.json", kept.model_dump())

    def publish(self, state: dict[str, Any]) -> None:
        """Writes `dev.json`: where everything is, for programs that want to use it."""
        self._write("dev.json", state)

    def unpublish(self) -> None:
        """Removes `dev.json`: nothing is up any more."""
        (self.path / "dev.json").unlink(missing_ok=True)

    def _write(self, name: str, content: dict[str, Any]) -> None:
        """Replaces the file as a whole: no reader ever sees half of it."""
        unfinished = self.path / f".{name}.new"
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=0o600)
        unfinished.write_text(json.dumps(content, indent=2) + "\n")
        unfinished.replace(self.path / name)

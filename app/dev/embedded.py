"""Which services `statewright dev` embeds, and the settings that result."""

from urllib.parse import urlsplit

from pydantic import SecretStr

from app.dev.data_dir import DataDir, Secrets
from app.dev.postgres import Postgres
from app.dev.supervisor import Child
from app.dev.valkey import Valkey
from app.settings import Settings


class Embedded:
    """PostgreSQL and Valkey, each unless the settings name one already.

    Attributes:
        settings: the given ones with the addresses and secrets that were missing; dev mode is on.
    """

    def __init__(self, settings: Settings, data_dir: DataDir, secrets: Secrets) -> None:
        self._postgres: Postgres | None = None
        self._valkey: Valkey | None = None
        update: dict[str, object] = {"dev": True, "security": _with_secrets(settings, secrets)}
        if "database_url" not in settings.model_fields_set:
            self._postgres = Postgres(
                data_dir.path,
                name=secrets.name,
                password=secrets.service_password,
                superuser_password=secrets.postgres_password,
                log=data_dir.log("postgres"),
            )
            update["database_url"] = self._postgres.url
        if "redis_url" not in settings.model_fields_set:
            self._valkey = Valkey(
                data_dir.path, password=secrets.redis_password, log=data_dir.log("redis")
            )
            update["redis_url"] = self._valkey.url
        self.settings = settings.model_copy(update=update)

    def children(self) -> list[Child]:
        """Those that are embedded."""
        return [service for service in (self._postgres, self._valkey) if service]

    def pids(self) -> dict[str, int | None]:
        """The process ids of both; None where another's service is used."""
        return {
            "postgres": self._postgres.process.pid if self._postgres else None,
            "redis": self._valkey.process.pid if self._valkey else None,
        }

    def places(self) -> list[str]:
        """One line on each service, without passwords."""
        pids, settings = self.pids(), self.settings
        data = f", data in {self._postgres.home.data}" if self._postgres else ""
        return [
            f"PostgreSQL  {_place(settings.database_url, pids['postgres'])}{data}",
            f"Redis       {_place(settings.redis_url, pids['redis'])}",
        ]


def _with_secrets(settings: Settings, secrets: Secrets) -> object:
    given = settings.security
    made: dict[str, object] = {
        "secret_key": SecretStr(secrets.secret_key),
        "encryption_keys": [SecretStr(secrets.encryption_key)],
    }
    missing = {name: value for name, value in made.items() if name not in given.model_fields_set}
    return given.model_copy(update=missing)


def _place(url: str, pid: int | None) -> str:
    parts = urlsplit(url)
    owner = f"process {pid}" if pid else "not embedded"
    return f"{owner}, {parts.hostname}:{parts.port or 'default port'}"

"""Which service the commands speak to, and with which API key."""

from collections.abc import Mapping
from contextvars import ContextVar
from ipaddress import ip_address
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from app.cli.failures import CommandError
from app.kit.credential import HeaderCredential
from app.settings.client import ClientSettings

_DEV_FILE = Path(".statewright/dev.json")


class Profile(BaseModel):
    """A service and a key for it: what a profile file says, and what `dev.json` says."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    url: str = Field(validation_alias=AliasChoices("url", "base_url"))
    api_key: HeaderCredential | None = Field(
        None, validation_alias=AliasChoices("api_key", "apiKey", "key")
    )


class Config(BaseModel):
    """The profile file: one service, or several by name and the name of the one in use."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, populate_by_name=True)

    url: str | None = Field(None, validation_alias=AliasChoices("url", "base_url"))
    api_key: HeaderCredential | None = Field(
        None, validation_alias=AliasChoices("api_key", "apiKey", "key")
    )
    contexts: dict[str, Profile] = {}
    current_context: str | None = Field(None, alias="currentContext")

    @model_validator(mode="after")
    def _names_a_service(self) -> Self:
        if self.url is None and "contexts" not in self.model_fields_set:
            raise ValueError("it names no service")
        return self

    def profile(self, name: str) -> Profile:
        """The service of a context.

        Raises:
            CommandError: there is no such context.
        """
        if name not in self.contexts:
            known = ", ".join(sorted(self.contexts)) or "none"
            raise CommandError(f"There is no context {name!r}; there are {known}.")
        return self.contexts[name]

    def in_use(self, context: str | None) -> Profile | None:
        """The service of a context, else of the one in use, else the one that has no name."""
        name = context or self.current_context
        if name is not None:
            return self.profile(name)
        return None if self.url is None else Profile(url=self.url, api_key=self.api_key)


# What `--context` says, for the length of a command.
chosen_context: ContextVar[str | None] = ContextVar("chosen_context", default=None)


def find_profile(settings: ClientSettings) -> Profile:
    """The service of --context, else the environment's, else the file's, else of a running `dev`.

    A key is sent only to the service that it was given with: one of a file goes nowhere else.

    Raises:
        CommandError: no service is named, or what names it cannot be read.
    """
    file = config_file(settings)
    if (chosen := chosen_context.get()) is not None:
        found = (read_config(file) or Config.model_construct(contexts={})).profile(chosen)
        return Profile(url=checked(found.url), api_key=found.api_key)
    config = read_config(file)
    kept = (config.in_use(settings.context) if config else None) or _running_dev()
    url = settings.url or (kept.url if kept else None)
    if url is None:
        raise CommandError(
            f"Which service? Set STATEWRIGHT_URL and STATEWRIGHT_API_KEY, or write `url` and"
            f" `apiKey` to {file}, or run `statewright dev` in this directory."
        )
    key = settings.api_key
    if key is None and kept is not None and _same(kept.url, url):
        key = kept.api_key
    return Profile(url=checked(url), api_key=key)


def config_file(settings: ClientSettings) -> Path:
    """Where the profile file is."""
    return settings.config_home.expanduser() / "statewright" / "config.yaml"


def write_config(
    file: Path, contexts: Mapping[str, Profile], current: str | None, before: Config | None
) -> None:
    """Replaces the contexts of the profile file, which only its owner may read.

    Raises:
        CommandError: it cannot be written.
    """
    kept = {"url": before.url, "apiKey": _plain(before.api_key)} if before and before.url else {}
    named = {
        name: {"url": profile.url, "apiKey": _plain(profile.api_key)}
        for name, profile in contexts.items()
    }
    document = {**kept, "contexts": named, "currentContext": current}
    new = file.with_name(f".{file.name}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        new.write_text(yaml.safe_dump(document, sort_keys=False))
        new.replace(file)
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror}.") from None


def _plain(key: SecretStr | None) -> str | None:
    return None if key is None else key.get_secret_value()


def is_loopback(url: str) -> bool:
    """Whether the address is of this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_config(file: Path) -> Config | None:
    """The profile file; None if there is none.

    Raises:
        CommandError: it cannot be read, or is none.
    """
    try:
        content = file.read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        raise CommandError(f"{file} cannot be read.") from None
    try:
        return Config.model_validate(yaml.safe_load(content))
    except (yaml.YAMLError, ValidationError) as error:
        raise CommandError(_file_fault(file, error)) from None


def _file_fault(file: Path, error: Exception) -> str:
    """What is wrong with a profile file; nothing of it is repeated."""
    if isinstance(error, ValidationError):
        for fault in error.errors(include_url=False, include_input=False):
            if "api_key" in fault["loc"] or "apiKey" in fault["loc"] or "key" in fault["loc"]:
                named = ".".join(str(part) for part in fault["loc"])
                return f"{file}: {named}: {fault['msg'].removeprefix('Value error, ')}."
    return f"{file} must hold `url: …` and `apiKey: …`, or contexts."


def _running_dev() -> Profile | None:
    """The `dev` of this directory, if it is on this machine: no file says where keys are sent."""
    try:
        found = Profile.model_validate_json(_DEV_FILE.read_bytes())
    except (OSError, ValidationError):
        return None
    return found if is_loopback(found.url) else None


def _same(one: str, other: str) -> bool:
    return one.rstrip("/") == other.rstrip("/")


def checked(url: str) -> str:
    """The address of a service, without a slash at its end.

    Raises:
        CommandError: it is none.
    """
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fine = False
    if not fine:
        raise CommandError(f"{url!r} is no address such as https://statewright.example.com.")
    return url.rstrip("/")

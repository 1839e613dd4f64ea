"""Which service the commands speak to, and with which API key."""

from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from app.cli.failures import CommandError
from app.settings import ClientSettings

_DEV_FILE = Path(".statewright/dev.json")


class Profile(BaseModel):
    """A service and a key for it: what a profile file says, and what `dev.json` says."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    url: str = Field(validation_alias=AliasChoices("url", "base_url"))
    api_key: SecretStr | None = Field(
        None, validation_alias=AliasChoices("api_key", "apiKey", "key")
    )


def find_profile(settings: ClientSettings) -> Profile:
    """The environment's service, else that of the profile file, else that of a running `dev`.

    A key is sent only to the service that it was given with: one of a file goes nowhere else.

    Raises:
        CommandError: no service is named, or what names it cannot be read.
    """
    file = settings.config_home.expanduser() / "statewright" / "config.yaml"
    kept = _profile_file(file) or _running_dev()
    url = settings.url or (kept.url if kept else None)
    if url is None:
        raise CommandError(
            f"Which service? Set STATEWRIGHT_URL and STATEWRIGHT_API_KEY, or write `url` and"
            f" `apiKey` to {file}, or run `statewright dev` in this directory."
        )
    key = settings.api_key
    if key is None and kept is not None and _same(kept.url, url):
        key = kept.api_key
    return Profile(url=_checked(url), api_key=key)


def is_loopback(url: str) -> bool:
    """Whether the address is of this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _profile_file(file: Path) -> Profile | None:
    try:
        content = file.read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        raise CommandError(f"{file} cannot be read.") from None
    try:
        return Profile.model_validate(yaml.safe_load(content))
    except (yaml.YAMLError, ValidationError):
        raise CommandError(f"{file} must hold `url: …` and `apiKey: …`.") from None


def _running_dev() -> Profile | None:
    """The `dev` of this directory, if it is on this machine: no file says where keys are sent."""
    try:
        found = Profile.model_validate_json(_DEV_FILE.read_bytes())
    except (OSError, ValidationError):
        return None
    return found if is_loopback(found.url) else None


def _same(one: str, other: str) -> bool:
    return one.rstrip("/") == other.rstrip("/")


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fine = False
    if not fine:
        raise CommandError(f"{url!r} is no address such as https://statewright.example.com.")
    return url.rstrip("/")

"""Settings of the commands that speak HTTP."""

from pathlib import Path

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.kit.credential import HeaderCredential


class ClientSettings(BaseSettings):
    """The service that the commands speak to over HTTP; a profile file has the same fields."""

    model_config = SettingsConfigDict(
        env_prefix="STATEWRIGHT_", extra="ignore", hide_input_in_errors=True
    )

    url: str | None = Field(None, description="Address of the API")
    context: str | None = Field(None, description="Name of a context of the profile file")
    api_key: HeaderCredential | None = None
    config_home: Path = Field(default=Path("~/.config"), validation_alias="XDG_CONFIG_HOME")
    editor: str = Field(default="vi", validation_alias=AliasChoices("VISUAL", "EDITOR"))

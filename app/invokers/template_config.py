"""What the `config` of a manifest's template may say to each invoker, checked when it is saved."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from app.errors import Loc
from app.invokers.chat_models.config import RESERVED_FIELDS, LlmConfig, LlmParameters
from app.invokers.config import EmptyConfig, InvokerConfig
from app.invokers.echo import EchoConfig
from app.invokers.script import ScriptConfig
from app.invokers.web.http_config import HttpMethod, RequestConfig
from app.kit.invalid import InvalidValueError


class HttpTemplateConfig(RequestConfig):
    """A request over an ApiConnection."""

    connection: str = Field(min_length=1, max_length=200)
    method: HttpMethod = HttpMethod.POST


class ProviderTemplateConfig(InvokerConfig):
    """What a template may set of a request to a Provider."""

    model: str | None = Field(None, min_length=1, max_length=200)
    parameters: LlmParameters | None = None
    stream: bool | None = None


class _LlmTemplateConfig(LlmConfig):
    """The config of `llm` without what only the service sets."""

    @model_validator(mode="after")
    def _check_reserved(self) -> Self:
        if taken := RESERVED_FIELDS & self.model_fields_set:
            raise InvalidValueError(f"{', '.join(sorted(taken))}: not yours to set")
        return self


_MODELS: dict[str, type[InvokerConfig]] = {
    "echo": EchoConfig,
    "http": HttpTemplateConfig,
    "llm": _LlmTemplateConfig,
    "script": ScriptConfig,
    "verbatim": EmptyConfig,
}
# What templates may invoke without a Provider.
BUILT_IN = frozenset(_MODELS)


def config_faults(invoker: str, config: Mapping[str, Any]) -> list[tuple[Loc, str]]:
    """What is wrong with the config of a template, each with its place in it.

    Args:
        invoker: a built-in one, or the name of a Provider.
        config: as it was written; no value of it is in the texts, for it may be a secret.
    """
    model = _MODELS.get(invoker, ProviderTemplateConfig)
    try:
        model.model_validate(config)
    except ValidationError as error:
        return [
            (tuple(fault["loc"]), _text(fault, model))
            for fault in error.errors(include_url=False, include_input=False)
        ]
    return []


def _text(fault: Mapping[str, Any], model: type[InvokerConfig]) -> str:
    if fault["type"] == "extra_forbidden" and len(fault["loc"]) == 1:
        known = (
            ", ".join(field for field in model.model_fields if field not in RESERVED_FIELDS)
            or "none"
        )
        return f"is not known here; known are {known}"
    return str(fault["msg"]).removeprefix("Value error, ")

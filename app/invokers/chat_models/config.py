"""The config of `llm`, and how a template's config and the operator's default become one."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self
from urllib.parse import parse_qsl

from pydantic import AfterValidator, Field, SecretStr, model_validator

from app.invokers.config import InvokerConfig
from app.invokers.web.hosts import check_server
from app.kit.credential import is_sendable
from app.kit.invalid import InvalidValueError
from app.settings import LlmSettings

# Whoever names one of these names a connection of their own, and gets nothing of the operator's.
_CONNECTION_FIELDS = frozenset({"provider", "base_url", "api_key"})
# Only this service sets these; see `complete_config`.
RESERVED_FIELDS = frozenset({"operator_owned", "egress_allow"})

_NO_KEY = "no-key"
_NOT_FOR_TENANTS = "is not to be set for the operator's model; a Provider of your own takes it"
_MAX_NAMED = 200  # characters of what an error names

# Where providers are asked that are given no base URL.
OWN_URLS = {"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com/v1"}

BaseUrl = Annotated[str, Field(max_length=2_000), AfterValidator(check_server)]


class LlmParameters(InvokerConfig):
    """What a model request may set; names are the same for every provider."""

    max_tokens: int | None = Field(None, gt=0)
    temperature: float | None = Field(None, ge=0)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, gt=0)
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, int] | None = None
    stop_sequences: list[str] | None = Field(None, max_length=16)
    extra_body: dict[str, Any] | None = Field(
        None, description="Further members of the request, as the provider documents them"
    )


class LlmConfig(InvokerConfig):
    """Which model answers, and how it is reached. With no provider the `echo` model answers."""

    provider: str | None = None
    base_url: BaseUrl | None = None
    model: str | None = Field(None, min_length=1, max_length=200)
    api_key: SecretStr | None = None
    parameters: LlmParameters = LlmParameters()
    stream: bool = True
    echo_delay_seconds: float = Field(0.0, ge=0, le=60)
    operator_owned: bool = Field(
        default=False, description="The connection comes from settings: any address may be reached"
    )
    egress_allow: tuple[str, ...] = Field(
        default=(), description="CIDRs that may be reached beside global addresses"
    )

    def key(self) -> str:
        """The API key. Servers without keys exist, but the SDKs insist on one."""
        return self.api_key.get_secret_value() if self.api_key else _NO_KEY

    def secrets(self) -> list[str]:
        """What must not be repeated in any text."""
        return [self.api_key.get_secret_value()] if self.api_key else []

    def url(self) -> str:
        """The base URL, or the provider's own; never one from the environment."""
        if self.base_url:
            return self.base_url.partition("?")[0]
        return OWN_URLS.get(self.provider or "", "")

    def query(self) -> dict[str, object]:
        """The query of the base URL, which belongs behind the path of each request."""
        query = (self.base_url or "").partition("?")[2]
        return dict(parse_qsl(query, keep_blank_values=True))

    def model_name(self) -> str:
        """The model to ask; given whenever a provider is."""
        return self.model or ""

    @model_validator(mode="after")
    def _connection_is_whole(self) -> Self:
        if self.provider is None and (self.base_url or self.api_key):
            raise InvalidValueError("base_url and api_key need a provider")
        if self.provider is not None and self.model is None:
            raise InvalidValueError("a provider needs a model")
        if self.api_key is not None and not is_sendable(self.api_key.get_secret_value()):
            raise InvalidValueError("api_key must be printable ASCII, without blanks at its ends")
        return self


def complete_config(
    config: Mapping[str, Any],
    default: LlmSettings,
    egress_allow: Sequence[str],
    *,
    trusted: bool = False,
) -> dict[str, Any]:
    """Fills what a template's config leaves open from the operator's default provider.

    A config that names a connection of its own gets nothing of the default's, above all not its
    key: else a template could have the operator's key sent to a server of its own.

    Args:
        config: the template's own.
        default: the operator's provider.
        egress_allow: CIDRs that may be reached beside global addresses.
        trusted: whether the template is the operator's code, which may ask for anything.

    Raises:
        InvalidValueError: the config sets a field that only this service sets, or asks the
            operator's model for what is not a tenant's to choose.
    """
    given = {field: value for field, value in config.items() if value is not None}
    if reserved := sorted(RESERVED_FIELDS & given.keys()):
        raise InvalidValueError(f"invalid invoker config: {', '.join(reserved)}: not yours to set")
    if _CONNECTION_FIELDS & given.keys():
        return {**given, "egress_allow": tuple(egress_allow)}
    if not trusted and (faults := operator_faults(given, default)):
        place, text = faults[0]
        raise InvalidValueError(f"invalid invoker config: {'.'.join(place)}: {text}")
    own = default.model_dump(exclude_none=True, exclude={"tenant_models", "tenant_parameters"})
    return {**own, **given, "operator_owned": True}


def operator_faults(
    config: Mapping[str, Any], default: LlmSettings
) -> list[tuple[tuple[str, ...], str]]:
    """What a tenant's template may not ask of the operator's model, each with its place.

    Args:
        config: of a template for `llm`; what it names itself is not the operator's.
        default: the operator's provider.
    """
    if default.provider is None or _CONNECTION_FIELDS & config.keys():
        return []
    faults: list[tuple[tuple[str, ...], str]] = []
    model = config.get("model")
    if model is not None and model not in (default.model, *default.tenant_models):
        faults.append((("model",), "the operator's model is not yours to choose"))
    allowed = set(default.tenant_parameters)
    faults += [
        (("parameters", *place), _NOT_FOR_TENANTS)
        for place in _parameter_paths(config.get("parameters"))
        if place[-1] not in allowed
    ]
    return faults


def _parameter_paths(parameters: Any) -> list[tuple[str, ...]]:
    """The places of what parameters set; what is no object is for others to refuse."""
    if not isinstance(parameters, Mapping):
        return []
    body = parameters.get("extra_body")
    named = [
        (str(name)[:_MAX_NAMED],)
        for name, value in parameters.items()
        if value is not None and name != "extra_body"
    ]
    within = body if isinstance(body, Mapping) else {}
    return named + [("extra_body", str(name)[:_MAX_NAMED]) for name in within]

"""How an invoker reads its config: strictly, with errors that say where and never what."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from app.kit.invalid import InvalidValueError


class InvokerConfig(BaseModel):
    """Base of the configs of the built-in invokers; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class EmptyConfig(InvokerConfig):
    """The config of an invoker that has nothing to set."""


ConfigT = TypeVar("ConfigT", bound=InvokerConfig)


def read_config(model: type[ConfigT], config: dict[str, Any]) -> ConfigT:
    """Validates `config`.

    Raises:
        InvalidValueError: names each faulty field. Values are left out: one of them may be a key.
    """
    try:
        return model.model_validate(config)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'config'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        )
        raise InvalidValueError(f"invalid invoker config: {faults}") from None

"""Models whose fields stay in the order in which the author of their input wrote them."""

from functools import lru_cache
from typing import Any, Self

from pydantic import AliasChoices, BaseModel, ModelWrapValidatorHandler, model_validator


class WrittenOrder(BaseModel):
    """Dumps its fields as its input ordered them; those that the input leaves out come last.

    pydantic itself orders fields as the class declares them. Mappings keep their order anyway.
    """

    @model_validator(mode="wrap")
    @classmethod
    def _keep_order(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        model = handler(data)
        if isinstance(data, dict):
            fields, values = _field_by_key(cls), model.__dict__
            written = [fields[key] for key in data if key in fields]
            ordered = {field: values[field] for field in (*written, *values)}
            values.clear()
            values.update(ordered)
        return model


def in_order(values: dict[str, Any], keys: list[str]) -> dict[str, Any]:
    """The same mapping with these keys first, as far as it has them; the others follow."""
    return {key: values[key] for key in (*keys, *values) if key in values}


@lru_cache
def _field_by_key(model: type[BaseModel]) -> dict[str, str]:
    """The fields of a model by each key that its input may have for them."""
    found: dict[str, str] = {}
    for field, info in model.model_fields.items():
        alias = info.validation_alias
        keys = alias.choices if isinstance(alias, AliasChoices) else [alias]
        found |= {key: field for key in (field, *keys) if isinstance(key, str)}
    return found

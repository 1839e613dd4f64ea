"""What the statechart of a manifest is bound to: the session's fields and input, nothing else."""

from typing import Any

from pydantic import ValidationError
from typing_extensions import override

from app.flows.manifest.constraints import bounded_checks
from app.flows.manifest.expression import Clock, EvaluationError
from app.flows.model.session_model import SessionModel
from app.kit.storable import Limits, NotStorableError, check_json

# What expressions see beside the fields of the flow.
INPUTS = frozenset({"actor_input", "parsed_actor_input", "task_error", "user_info"})

MAX_SIZE = 200_000
MAX_DEPTH = 50
_LIMITS = Limits(max_integer=2**63 - 1)


class Facade:
    """Stands between a statechart that nobody trusts and the session's model, for one event.

    The statechart library calls whatever it finds by name on the object it is bound to; here it
    finds nothing. Expressions read by `read`; the library's own `assign` sets attributes.
    """

    def __init__(self, model: SessionModel) -> None:
        fields = model.own_fields()
        vars(self).update(
            _configuration=None,
            _model=model,
            _fields=fields,
            _names=fields | INPUTS,
            _clock=Clock(),
        )

    def read(self, name: str) -> Any:
        """The value of a field, or of what the engine sets."""
        if name not in self._names:
            raise EvaluationError(f"The flow has no field {name!r}.")
        return getattr(self._model, name)

    def tick(self) -> None:
        """Raises `EvaluationError` when the event's expressions took too long."""
        self._clock.tick()

    def __getattr__(self, name: str) -> Any:
        # The library's assign asks whether there is such a field before it sets it.
        if name in vars(self)["_fields"]:
            return getattr(self._model, name)
        raise AttributeError(name)

    @override
    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_configuration":
            vars(self)[name] = value
        elif name in self._fields:
            self._write(name, value)
        else:
            raise AttributeError(f"{name!r} cannot be set")

    @override
    def __dir__(self) -> list[str]:
        return []

    def _write(self, name: str, value: Any) -> None:
        self.tick()
        try:
            copied = _Copier().copy(value, MAX_DEPTH)
            check_json(copied, _LIMITS)
            with bounded_checks():
                setattr(self._model, name, copied)
        except ValidationError as error:
            # Only what the field wants: what it was given may be anybody's secret.
            reasons = {fault["msg"] for fault in error.errors(include_input=False)}
            reason = "; ".join(sorted(reasons))
        except NotStorableError as error:
            reason = str(error)
        else:
            return
        raise EvaluationError(f"The field {name!r} does not take the value: {reason}.")


class _Copier:
    """Copies a value of bounded size: expressions can make one part appear often."""

    def __init__(self) -> None:
        self._left = MAX_SIZE

    def copy(self, value: Any, depth: int) -> Any:
        self._spend(len(value) if isinstance(value, str) else 1)
        if depth == 0:
            raise NotStorableError(f"it nests more than {MAX_DEPTH} levels deep")
        if isinstance(value, dict):
            return {key: self._member(key, item, depth) for key, item in value.items()}
        if isinstance(value, list):
            return [self.copy(item, depth - 1) for item in value]
        return value

    def _member(self, key: str, item: Any, depth: int) -> Any:
        self._spend(len(key))
        return self.copy(item, depth - 1)

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise NotStorableError(f"it is larger than {MAX_SIZE} characters and items")

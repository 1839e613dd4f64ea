"""The data that a session carries: its flow's own fields, and what the engine sets around them."""

from typing import Any, ClassVar, Self

from pydantic import ConfigDict, Field, PrivateAttr, ValidationError
from pydantic_core import ErrorDetails

from app.errors import BadRequestError, is_public, public_text
from app.flows.model.secondary_store import SecondaryStore
from app.flows.model.versioned import VersionedModel
from app.kit.storable import check_values, load_json

_MAX_FAULTS = 100  # of seed data, that are named
MAX_INPUT_VALUES = 100_000  # of the JSON of an input, that are read: within some 20 ms


class SessionModel(VersionedModel):
    """Base of every flow's model. A subclass adds fields, each with a default.

    Only the subclass's own fields are stored; the engine sets the built-in ones after it has read
    a model back. The dialogue is no part of it: messages have a table of their own.

    Attributes:
        machine: the flow's statechart, a `SessionMachine`.
        key: what the flow is called in URLs; if not given, the class's name in snake_case.
        session_id: the session's id.
        state: the id of the state that the session is in.
        actor_input: text that came with the event at hand.
        task_error: why the last invocation failed; None if it did not, or a client has acted since.
        user_info: who the session is for, as its client knows that person; it cannot be changed.
        secondary_store: large values, stored one by one and written once.
    """

    # An assignment of a wrong type must fail in the turn that makes it, not when it is read back.
    model_config = ConfigDict(validate_assignment=True, protected_namespaces=())

    machine: ClassVar[type]
    key: ClassVar[str]

    session_id: str = Field(default="", exclude=True)
    state: str = Field(default="", exclude=True)
    actor_input: str = Field(default="", exclude=True)
    task_error: str | None = Field(default=None, exclude=True)
    user_info: dict[str, Any] | None = Field(default=None, exclude=True)
    secondary_store: SecondaryStore = Field(
        default_factory=SecondaryStore, exclude=True, repr=False
    )

    # What the statechart library reads and writes: values, or an ordered set of them.
    _configuration: Any = PrivateAttr(default=None)
    # By history state, the ids of the states that it leads back to.
    _history: dict[str, list[str]] = PrivateAttr(default_factory=dict)
    _parsed: tuple[str, Any] | None = PrivateAttr(default=None)

    @property
    def parsed_actor_input(self) -> Any:
        """What `actor_input` is the JSON of, unless that is a text; else the text itself."""
        if self._parsed is None or self._parsed[0] != self.actor_input:
            self._parsed = (self.actor_input, parse_json(self.actor_input))
        return self._parsed[1]

    @classmethod
    def own_fields(cls) -> frozenset[str]:
        """The names of the fields that the flow declares."""
        return frozenset(cls.model_fields) - BUILT_IN_FIELDS

    @classmethod
    def seed(cls, seed_data: dict[str, Any]) -> Self:
        """Makes the model of a new session from what the client sent; override to do more.

        Args:
            seed_data: values of the flow's own fields, by name.

        Raises:
            BadRequestError: a name is unknown or a value does not fit; every fault is listed.
        """
        unknown = sorted(seed_data.keys() - cls.own_fields())
        if unknown:
            raise BadRequestError(
                "The seed data has fields that the flow does not have"
                + (f" ({len(unknown):,} of them)" if len(unknown) > _MAX_FAULTS else ""),
                errors=[
                    {"loc": ["seed_data", name], "msg": "unknown field"}
                    for name in unknown[:_MAX_FAULTS]
                ],
            )
        try:
            return cls(**seed_data)
        except ValidationError as error:
            faults = error.errors(include_url=False, include_input=False)
            raise BadRequestError(
                "The seed data does not fit the flow's model",
                errors=[
                    {"loc": ["seed_data", *fault["loc"]], "msg": _text_of(fault)}
                    for fault in faults[:_MAX_FAULTS]
                ],
            ) from None

    def update(self, values: dict[str, Any]) -> None:
        """Takes over values for those of its own fields that there are; override to do more."""
        for name in values.keys() & self.own_fields():
            setattr(self, name, values[name])

    def resume(self) -> bool:
        """Prepares it for a retry of the turn that failed; whether that changes it."""
        return False


def _text_of(fault: ErrorDetails) -> str:
    """What is said of a value that does not fit; of what a validator raised as of any error."""
    raised = fault.get("ctx", {}).get("error")
    if isinstance(raised, Exception) and not is_public(raised):
        return f"is refused ({public_text(raised)})"
    return fault["msg"]


# Of objects, lists, numbers, true, false and null.
_JSON_STARTS = ("{", "[", "-", *"0123456789", "t", "f", "n")

BUILT_IN_FIELDS = frozenset(SessionModel.model_fields)


def parse_json(text: str) -> Any:
    """What a text is the JSON of; the text itself if it is none, of a text, too deep or too large.

    What somebody puts between quotation marks stays as it is written.
    """
    if not text.lstrip().startswith(_JSON_STARTS):
        return text
    try:
        check_values(text.encode(errors="surrogatepass"), MAX_INPUT_VALUES)
        return load_json(text, clean=True)
    except ValueError:
        return text

"""The values that a session stores one by one: each is written once and never changed."""

from collections.abc import ItemsView, Iterable, Iterator, KeysView, ValuesView
from enum import StrEnum
from typing import Any, Self

from pydantic import PrivateAttr, RootModel, SerializeAsAny
from typing_extensions import override

from app.errors import StatewrightError
from app.flows.model.versioned import SerializationError, VersionedModel, registered_model
from app.sizes.limit import SizeLimit

# Bytes of the values that are read in one place, as JSON: they are there as objects all at once.
MAX_LOADED = 40_000_000


class ValueState(StrEnum):
    """What the database knows of a key."""

    NEW = "new"
    STORED = "stored"  # and not loaded
    RETRIEVED = "retrieved"
    DELETED = "deleted"


class ValueNotLoadedError(StatewrightError):
    """A value is read that was not loaded; the engine loads it, and runs again what reads it."""


class SecondaryStore(RootModel[dict[str, SerializeAsAny[VersionedModel]]]):
    """Acts as a dict of models. Values are immutable by contract: a change in place is not saved.

    Assigning a key twice is a KeyError; so is a deleted key until its deletion is persisted.
    """

    root: dict[str, SerializeAsAny[VersionedModel]] = {}
    _states: dict[str, ValueState] = PrivateAttr(default_factory=dict)
    _missed: set[str] = PrivateAttr(default_factory=set)

    @override
    def model_post_init(self, _context: Any) -> None:
        """Counts all that is handed in as new, until it is known to be stored."""
        self._states = dict.fromkeys(self.root, ValueState.NEW)

    @classmethod
    def from_retrieved_values(cls, values: dict[str, VersionedModel]) -> Self:
        """A store of values that are persisted already."""
        store = cls(values)
        store._states = dict.fromkeys(values, ValueState.RETRIEVED)
        return store

    @classmethod
    def from_serialized(cls, payloads: dict[str, bytes]) -> Self:
        """A store of what `unpersisted_serialized` gave earlier.

        Raises:
            SerializationError: a payload is damaged, or names a class that is not registered.
        """
        return cls.from_retrieved_values(
            {key: _deserialized(payload) for key, payload in payloads.items()}
        )

    @classmethod
    def from_stored(cls, keys: Iterable[str], payloads: dict[str, bytes], missed: set[str]) -> Self:
        """A store of which some values are not loaded yet.

        Args:
            keys: of all values.
            payloads: of those that are loaded, as `unpersisted_serialized` gave them.
            missed: takes the keys of others that are read.

        Raises:
            SerializationError: as `from_serialized` does.
            SizeLimitError: those that are loaded are too much together.
        """
        limit = SizeLimit("The stored values that are read", MAX_LOADED)
        for payload in payloads.values():
            limit.add(VersionedModel.stored_size(payload.partition(b":")[2]))
        store = cls({key: _deserialized(payload) for key, payload in payloads.items()})
        store._states = {
            key: ValueState.RETRIEVED if key in payloads else ValueState.STORED for key in keys
        }
        store._missed = missed
        return store

    def unpersisted_serialized(
        self, compression: bool, max_values: int | None = None
    ) -> dict[str, bytes]:
        """The new values, each as `b"<class name>:<VersionedModel.serialize()>"`.

        Raises:
            SerializationError: a value's class is not registered, so it could not be read back.
            SizeLimitError: one is more than could be read back in reasonable time.
        """
        return {
            key: _serialized(value, compression, max_values)
            for key, value in self.unpersisted_values.items()
        }

    def mark_persisted(self, keys: str | Iterable[str]) -> None:
        """Records that new values were written, or deleted ones removed; all keys or none.

        Raises:
            KeyError: nothing of a key is waiting to be persisted.
        """
        keys = [keys] if isinstance(keys, str) else list(keys)
        for key in keys:
            if self._states.get(key) not in _UNPERSISTED:
                raise KeyError(f"{key!r} is persisted already, or was never there")
        for key in keys:
            if key in self.root:
                self._states[key] = ValueState.RETRIEVED
            else:
                self._states.pop(key, None)

    @property
    def has_unpersisted_values(self) -> bool:
        return ValueState.NEW in self._states.values()

    @property
    def unpersisted_values(self) -> dict[str, VersionedModel]:
        return {key: self.root[key] for key in self._keys_in(ValueState.NEW)}

    @property
    def has_deleted_values(self) -> bool:
        return ValueState.DELETED in self._states.values()

    @property
    def deleted_keys(self) -> set[str]:
        return set(self._keys_in(ValueState.DELETED))

    def __getitem__(self, key: str) -> VersionedModel:
        self._need(key)
        return self.root[key]

    def __setitem__(self, key: str, value: VersionedModel) -> None:
        if not isinstance(value, VersionedModel):
            raise TypeError(f"{key!r} must be a VersionedModel, not {type(value).__name__}")
        if key in self._states:
            raise KeyError(f"{key!r} is {self._states[key]} and cannot be written again")
        self.root[key] = value
        self._states[key] = ValueState.NEW

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self.root.pop(key, None)
        if self._states[key] is ValueState.NEW:
            del self._states[key]
        else:
            self._states[key] = ValueState.DELETED

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._states.get(key) not in {None, ValueState.DELETED}

    @override
    def __iter__(self) -> Iterator[str]:  # type: ignore[override]  # a dict of keys, not a model of fields
        return (key for key, known in self._states.items() if known is not ValueState.DELETED)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def get(self, key: str, default: VersionedModel | None = None) -> VersionedModel | None:
        self._need(key)
        return self.root.get(key, default)

    def keys(self) -> KeysView[str]:
        return dict.fromkeys(self).keys()

    def values(self) -> ValuesView[VersionedModel]:
        self._need(*self)
        return self.root.values()

    def items(self) -> ItemsView[str, VersionedModel]:
        self._need(*self)
        return self.root.items()

    def _need(self, *keys: str) -> None:
        """Raises `ValueNotLoadedError` where one of the values is not here."""
        missing = [key for key in keys if self._states.get(key) is ValueState.STORED]
        if missing:
            self._missed.update(missing)
            raise ValueNotLoadedError("A stored value is not loaded.")

    def _keys_in(self, state: ValueState) -> list[str]:
        return [key for key, known in self._states.items() if known is state]


_UNPERSISTED = frozenset({ValueState.NEW, ValueState.DELETED})


def _serialized(value: VersionedModel, compression: bool, max_values: int | None) -> bytes:
    name = type(value).__name__
    if registered_model(name) is not type(value):
        raise SerializationError(f"Another class is registered as {name!r}")
    return name.encode() + b":" + value.serialize(compression, max_values=max_values)


def _deserialized(payload: bytes) -> VersionedModel:
    name, _, data = payload.partition(b":")
    return registered_model(name.decode(errors="replace")).deserialize(data)

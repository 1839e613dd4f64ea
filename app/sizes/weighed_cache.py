"""A cache that is bounded by what its values weigh, and that nobody can fill for all others."""

import threading
from collections import Counter, OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")


class WeighedCache(Generic[KeyT, ValueT]):
    """Keeps what was used last. What is too much is taken from the owner who has the most.

    Args:
        most: what all values may weigh together.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: dict[str, OrderedDict[KeyT, tuple[ValueT, int]]] = {}
        self._weights: Counter[str] = Counter()
        self._lock = threading.Lock()

    def get(self, owner: str, key: KeyT) -> ValueT | None:
        """What an owner keeps under a key; None if it is not there, or not any more."""
        with self._lock:
            values = self._values.get(owner)
            if values is None or key not in values:
                return None
            values.move_to_end(key)
            return values[key][0]

    def put(self, owner: str, key: KeyT, value: ValueT, weight: int) -> None:
        """Keeps a value, until others are used more."""
        with self._lock:
            values = self._values.setdefault(owner, OrderedDict())
            _, before = values.pop(key, (None, 0))
            values[key] = (value, weight)
            self._weights[owner] += weight - before
            while self._weights.total() > self._most:
                self._take_from(max(self._weights, key=self._weights.__getitem__))

    def _take_from(self, owner: str) -> None:
        _, (_, weight) = self._values[owner].popitem(last=False)
        self._weights[owner] -= weight
        if not self._values[owner]:
            del self._values[owner], self._weights[owner]

"""How much work a JSON Schema makes: one of a few lines may ask for more than there are atoms.

A validator looks at one value by many parts of a schema, and where parts refer to each other, by
the same part again and again: twice at each level is a million times at the twentieth. It cannot be
stopped while it does. So the work is bounded before it begins, by an estimate from above.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, TypeAlias
from urllib.parse import unquote

from app.kit.invalid import InvalidValueError

Schema: TypeAlias = dict[str, Any]
Visits: TypeAlias = Counter[int]  # how often a part, by its number, is looked at for one value

# Parts that look at the same value, and parts that look at what is within it.
_SAME_LISTS = ("allOf", "anyOf", "oneOf")
_SAME = ("not", "if", "then", "else")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_MEMBERS = ("additionalProperties", "unevaluatedProperties", "propertyNames")
_ITEMS = ("items", "contains", "unevaluatedItems")

# What leads to a value within another: the name of a member, or the index of an item; None for the
# parts that look at each of them.
_Key: TypeAlias = tuple[type, str | int | None]
_EACH_MEMBER: _Key = (dict, None)
_EACH_ITEM: _Key = (list, None)

# What a validator does in half a second, in units of 50 ns.
MAX_WORK = 10_000_000
_LOOK = 8  # of one part at one value
_MULTIPLE = 500  # of a number: it is divided with all its digits
_NAME = 1  # of a text that is compared with another
_VALUE = 50  # of any other value
_MOST_SUMS = 300_000  # of the estimate itself


class TooMuchWorkError(InvalidValueError):
    """What is asked of a validator would take it too long."""


def check_work(schema: Schema, value: object, most: int = MAX_WORK) -> int:
    """Refuses to have a value checked that parts of a schema would look at too often.

    Args:
        schema: a JSON Schema.
        value: what is to be checked against it.
        most: how much work it may be.

    Returns:
        How much it is at the most.

    Raises:
        TooMuchWorkError: they might look more often; or for ever, since a part leads to itself
            without looking further in.
    """
    levels = _levels(value)
    parts, refers = _size(schema)
    if not refers and parts * sum(levels) <= most:
        return parts * sum(levels)
    work = _Parts(schema).work(levels)
    if work > most:
        raise TooMuchWorkError
    return work


def _levels(value: object) -> list[int]:
    """How many values there are within a value, level by level from the outside in."""
    counts, level = [], [value]
    while level:
        counts.append(len(level))
        level = [inner for one in level for inner in _inner(one)]
    return counts


def _size(schema: Schema) -> tuple[int, bool]:
    """The work of all parts of a schema at one value, and whether they refer to each other."""
    work, refers = 0, False
    level: list[Any] = [schema]
    while level:
        objects = [one for one in level if isinstance(one, dict)]
        work += sum(map(_work_of, objects))
        refers = refers or any(word in one for one in objects for word in _REFERENCES)
        level = [inner for one in level for inner in _inner(one)]
    return work, refers


def _work_of(part: Schema) -> int:
    """The work of one part at one value, without that of the parts within it."""
    work = _LOOK + _MULTIPLE * ("multipleOf" in part)
    for word in ("enum", "required"):
        if isinstance(listed := part.get(word), list):
            work += sum(_NAME if isinstance(one, str) else _VALUE for one in listed)
    if isinstance(dependent := part.get("dependentRequired"), dict):
        work += sum(
            _VALUE + len(one) * _NAME for one in dependent.values() if isinstance(one, list)
        )
    return work


def _inner(value: object) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


class _Parts:
    """The parts of a schema by number, the whole one being 0, and how they lead to each other."""

    def __init__(self, schema: Schema) -> None:
        self._parts: list[Schema] = []
        self._numbers: dict[int, int] = {}
        self._named: dict[str, list[int]] = {}
        self._number("#", schema)
        self._sums = 0
        self._works = [_work_of(part) for part in self._parts]
        self._same = [list(self._same_value(part)) for part in self._parts]
        self._within = [self._within_value(part) for part in self._parts]
        # By part: all that look at a value because it does.
        self._spreads: dict[int, Visits] = {}
        for part in self._from_inside_out():
            once = Counter({part: 1})
            for other in self._same[part]:
                self._add(once, self._spreads[other], 1)
            self._spreads[part] = once

    def _number(self, pointer: str, schema: Schema) -> None:
        """Numbers a part and those inside it, each with the names that references have for it."""
        waiting: list[tuple[str, Any]] = [(pointer, schema)]
        while waiting:
            pointer, value = waiting.pop()
            if isinstance(value, dict):
                number = self._numbers[id(value)] = len(self._parts)
                self._parts.append(value)
                anchors = (value.get(word) for word in ("$anchor", "$dynamicAnchor"))
                names = [pointer, *(f"#{name}" for name in anchors if isinstance(name, str))]
                if isinstance(own := value.get("$id"), str):
                    names += ["$id", own]
                for name in names:
                    self._named.setdefault(name, []).append(number)
            members = value.items() if isinstance(value, dict) else enumerate(value)
            for key, inner in members:
                if isinstance(inner, dict | list):
                    escaped = str(key).replace("~", "~0").replace("/", "~1")
                    waiting.append((f"{pointer}/{escaped}", inner))

    def _same_value(self, part: Schema) -> Iterator[int]:
        """The parts by which a value is looked at because it is by this one."""
        for word in _SAME_LISTS:
            yield from self._numbers_of(part.get(word))
        yield from self._numbers_of([part.get(word) for word in _SAME])
        dependent = part.get("dependentSchemas")
        yield from self._numbers_of(list(dependent.values()) if isinstance(dependent, dict) else [])
        for word in _REFERENCES:
            if isinstance(reference := part.get(word), str):
                yield from self._referred(reference)

    def _referred(self, reference: str) -> list[int]:
        """What a reference leads to; where it goes by ids, whatever has one, and the whole."""
        whole = self._parts[0].get("$id")
        if isinstance(whole, str) and reference.startswith(f"{whole}#"):
            reference = reference[len(whole) :]
        if (found := self._named.get(unquote(reference))) is not None:
            return found
        return [0, *self._named.get("$id", [])]

    def _within_value(self, part: Schema) -> dict[_Key, list[int]]:
        """The parts that look at what is within a value, by the key that leads there."""
        found: dict[_Key, list[int]] = {
            _EACH_MEMBER: self._numbers_of([part.get(word) for word in _MEMBERS]),
            _EACH_ITEM: self._numbers_of([part.get(word) for word in _ITEMS]),
        }
        if isinstance(patterns := part.get("patternProperties"), dict):
            found[_EACH_MEMBER] += self._numbers_of(list(patterns.values()))
        if isinstance(named := part.get("properties"), dict):
            found |= {(dict, name): self._numbers_of([inner]) for name, inner in named.items()}
        if isinstance(first := part.get("prefixItems"), list):
            found |= {(list, at): self._numbers_of([inner]) for at, inner in enumerate(first)}
        return {key: numbers for key, numbers in found.items() if numbers}

    def _numbers_of(self, schemas: object) -> list[int]:
        given = schemas if isinstance(schemas, list) else []
        return [self._numbers[id(one)] for one in given if isinstance(one, dict)]

    def _from_inside_out(self) -> list[int]:
        """All parts, each behind those that look at the same value because it does."""
        done: list[int] = []
        state: dict[int, bool] = {}  # whether it is done
        for start in range(len(self._parts)):
            waiting = [start]
            while waiting:
                part = waiting[-1]
                if part not in state:
                    state[part] = False
                    if not all(state.get(other, True) for other in self._same[part]):
                        raise TooMuchWorkError
                    waiting += [other for other in self._same[part] if other not in state]
                else:
                    waiting.pop()
                    if not state[part]:
                        state[part] = True
                        done.append(part)
        return done

    def work(self, levels: list[int]) -> int:
        """The work of all parts at the most, at values of which there are so many at each level."""
        visits, work = self._spreads[0], 0
        for depth, values in enumerate(levels):
            work += values * self._work_at_one(visits)
            following = self._next(visits) if depth + 1 < len(levels) else visits
            if following == visits:
                return work + sum(levels[depth + 1 :]) * self._work_at_one(visits)
            visits = following
        return work

    def _work_at_one(self, visits: Visits) -> int:
        return sum(times * self._works[part] for part, times in visits.items())

    def _next(self, visits: Visits) -> Visits:
        """The visits of a value within, whichever key leads to it."""
        by_key: dict[_Key, Visits] = {_EACH_MEMBER: Counter(), _EACH_ITEM: Counter()}
        for part, times in visits.items():
            for key, parts in self._within[part].items():
                found = by_key.setdefault(key, Counter())
                for other in parts:
                    self._add(found, self._spreads[other], times)
        most: Visits = Counter()
        for (kind, name), found in by_key.items():
            if name is not None:
                self._add(found, by_key[kind, None], 1)
            for part, times in found.items():
                most[part] = max(most[part], times)
        return most

    def _add(self, visits: Visits, more: Visits, times: int) -> None:
        self._sums += len(more) + 1
        if self._sums > _MOST_SUMS:
            raise TooMuchWorkError
        for part, each in more.items():
            visits[part] += each * times

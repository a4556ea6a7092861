"""What an event's payload must say for a schedule to run: conditions on its fields.

Laws:

* A field that is not there holds no condition, except ``exists: false``.
* Values are compared as what they are: numbers as numbers, also where one is written
  as text ("29.90"), and times as instants. Nothing else has an order, and nothing is
  turned into text or truth to make it equal.
* Looking at a payload never raises and takes time in proportion to it: whoever sends
  an event chooses what it holds.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from fnmatch import fnmatchcase
from math import isfinite
from typing import Final, TypeAlias, assert_never

from sync_pipelines.model.wall import CadenceError, read_choice

MOST_CONDITIONS = 20
MOST_CHOICES = 100
LONGEST_TEXT = 1000
"""Characters of the longest text in a condition, or that a pattern is held against."""

Scalar: TypeAlias = str | int | float | bool | None

_FIELD = re.compile(r"[^.\s]+(\.[^.\s]+)*")
_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}.{0,22})?")


class Operator(StrEnum):
    """How a field is compared, by the key a tenant writes."""

    EQUALS = "equals"
    NOT_EQUALS = "not_equals"
    IN = "in"
    GREATER = "greater"
    LESS = "less"
    EXISTS = "exists"
    MATCHES = "matches"


class _Missing:
    """What is found where a payload has no such field."""


_MISSING: Final = _Missing()


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One question about one field; ``field`` has dots to go inside: ``customer.country``.

    ``value`` is text, a number, true, false or null; for ``in`` several of them; for
    ``greater`` and ``less`` a number or a time; for ``exists`` true or false; for
    ``matches`` text in which ``*`` stands for any characters and ``?`` for one.
    """

    field: str
    operator: Operator
    value: Scalar | tuple[Scalar, ...]
    # 1, 1.0 and true are equal in Python and not to a tenant.
    _kinds: tuple[type, ...] = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not _FIELD.fullmatch(self.field) or len(self.field) > LONGEST_TEXT:
            raise _error(
                f"field {self.field!r} is not the name of a field; write it as status or"
                " customer.country"
            )
        values = self.value if isinstance(self.value, tuple) else (self.value,)
        object.__setattr__(self, "operator", read_choice("conditions", self.operator, Operator))
        _check(self.field, self.operator, self.value)
        object.__setattr__(self, "_kinds", tuple(type(value) for value in values))

    def __str__(self) -> str:
        values = self.value if isinstance(self.value, tuple) else (self.value,)
        text = " or ".join(_shown(value) for value in values)
        match self.operator:
            case Operator.EXISTS:
                return f"{self.field} is {'there' if self.value else 'missing'}"
            case Operator.EQUALS | Operator.IN:
                return f"{self.field} is {text}"
            case Operator.NOT_EQUALS:
                return f"{self.field} is not {text}"
            case Operator.GREATER | Operator.LESS:
                return f"{self.field} is {self.operator} than {text}"
            case Operator.MATCHES:
                return f"{self.field} matches {text}"
        assert_never(self.operator)

    def to_mapping(self) -> Mapping[str, object]:
        """The condition as ``parse_condition`` reads it."""
        value = list(self.value) if isinstance(self.value, tuple) else self.value
        return {"field": self.field, str(self.operator): value}

    def holds(self, payload: object) -> bool:
        """Whether a payload, as JSON was decoded, meets it."""
        found = _look_up(payload, self.field.split("."))
        if self.operator is Operator.EXISTS:
            return isinstance(found, _Missing) is not self.value
        if isinstance(found, _Missing) or not isinstance(found, str | int | float | None):
            return False
        match self.operator:
            case Operator.EQUALS | Operator.IN:
                values = self.value if isinstance(self.value, tuple) else (self.value,)
                return any(_equal(found, value) for value in values)
            case Operator.NOT_EQUALS:
                return not isinstance(self.value, tuple) and not _equal(found, self.value)
            case Operator.GREATER:
                return _order(found, self.value) > 0
            case Operator.LESS:
                return _order(found, self.value) < 0
            case Operator.MATCHES:
                return _matches(found, self.value)
        assert_never(self.operator)


def holds(conditions: Sequence[Condition], payload: object) -> bool:
    """Whether a payload meets every condition; without any, it does."""
    return all(condition.holds(payload) for condition in conditions)


def unmet(conditions: Sequence[Condition], payload: object) -> Condition | None:
    """The first condition that a payload does not meet, to say why nothing ran."""
    return next((condition for condition in conditions if not condition.holds(payload)), None)


def parse_condition(value: object, *, number: int) -> Condition:
    """A condition as ``{field: status, equals: paid}``; ``number`` says which, for errors."""
    try:
        return _parsed(value)
    except CadenceError as error:
        raise CadenceError(error.field, f"condition {number}: {error.message}") from error


def _parsed(value: object) -> Condition:
    if not isinstance(value, Mapping):
        raise _error(f"{value!r} is not a condition; write {{field: status, equals: paid}}")
    name = value.get("field")
    if not isinstance(name, str):
        raise _error(f"field {name!r} is not the name of a field; write it as status")
    known = ", ".join(Operator)
    keys = [key for key in value if key != "field"]
    for key in keys:
        if key not in set(Operator):
            raise _error(f"{key!r} of field {name!r} is not known; write one of {known}")
    if len(keys) != 1:
        raise _error(f"field {name!r} needs exactly one of {known}; it has {len(keys)}")
    return Condition(field=name, operator=Operator(keys[0]), value=_plain(value[keys[0]]))


def _plain(value: object) -> Scalar | tuple[Scalar, ...]:
    """What was written, with lists as tuples and YAML's own times as text."""
    if isinstance(value, list | tuple):
        return tuple(_scalar(item) for item in value)
    return _scalar(value)


def _scalar(value: object) -> Scalar:
    if isinstance(value, date):
        return value.isoformat()
    if value is None or isinstance(value, str | int | float):
        return value
    raise _error(f"{value!r} cannot be compared; write text, a number, true, false or null")


def _check(name: str, operator: Operator, value: Scalar | tuple[Scalar, ...]) -> None:
    values = value if isinstance(value, tuple) else (value,)
    for item in values:
        if isinstance(item, float) and not isfinite(item):
            raise _error(f"{operator} {item!r} of field {name!r} is wrong; write a number")
        if isinstance(item, str) and len(item) > LONGEST_TEXT:
            raise _error(f"{operator} of field {name!r} is longer than {LONGEST_TEXT} characters")
    wrong = f"{operator} {value!r} of field {name!r} is wrong"
    match operator:
        case Operator.IN:
            if not isinstance(value, tuple) or not 1 <= len(value) <= MOST_CHOICES:
                raise _error(f"{wrong}; write a list of 1 to {MOST_CHOICES}, such as [paid, sent]")
        case Operator.EXISTS:
            if not isinstance(value, bool):
                raise _error(f"{wrong}; write true or false")
        case Operator.GREATER | Operator.LESS:
            if _number(value) is None and _instant(value) is None:
                raise _error(f"{wrong}; write a number, or a time such as '2026-01-31T08:00:00Z'")
        case Operator.MATCHES:
            if not isinstance(value, str) or not value:
                raise _error(f"{wrong}; write text in which * stands for any, such as 'INV-*'")
        case Operator.EQUALS | Operator.NOT_EQUALS:
            if isinstance(value, tuple):
                raise _error(f"{wrong}; for several write in")


def _shown(value: Scalar) -> str:
    """As JSON has it, but text in single quotes."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return f"'{value}'" if isinstance(value, str) else str(value)


def _look_up(payload: object, parts: Sequence[str]) -> object:
    """The value under a path; a number names a list's item, from 0."""
    found = payload
    for part in parts:
        if isinstance(found, Mapping):
            found = found.get(part, _MISSING)
        elif isinstance(found, list) and re.fullmatch("[0-9]{1,9}", part):
            found = found[int(part)] if int(part) < len(found) else _MISSING
        else:
            return _MISSING
    return found


def _equal(found: Scalar, value: Scalar) -> bool:
    if isinstance(found, bool) or isinstance(value, bool):
        return found is value
    if found is None or value is None:
        return found is value
    if isinstance(found, str) and isinstance(value, str):
        return found == value
    left, right = _number(found), _number(value)
    return left is not None and left == right


def _order(found: Scalar, value: Scalar | tuple[Scalar, ...]) -> int:
    """Positive if ``found`` is greater, negative if it is less, 0 if equal or without order."""
    left, right = _number(found), _number(value)
    if left is not None and right is not None:
        return (left > right) - (left < right)
    early, late = _instant(found), _instant(value)
    if early is not None and late is not None:
        return (early > late) - (early < late)
    return 0


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, float):
        return Decimal(repr(value)) if isfinite(value) else None
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return Decimal(value)
    return None


def _instant(value: object) -> datetime | None:
    """The time in ISO text, read as UTC where it names no offset."""
    if not isinstance(value, str) or not _ISO.fullmatch(value):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _matches(found: Scalar, pattern: Scalar | tuple[Scalar, ...]) -> bool:
    if not isinstance(found, str) or not isinstance(pattern, str) or len(found) > LONGEST_TEXT:
        return False
    # A bracket is a letter like any other here; runs of * would cost time and mean one.
    return fnmatchcase(found, re.sub(r"\*+", "*", pattern).replace("[", "[[]"))


def _error(message: str) -> CadenceError:
    return CadenceError("conditions", message)

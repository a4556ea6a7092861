"""What becomes of a stream's fields on their way: chosen, renamed, computed, cast.

Law: the fields of the primary key and the cursor arrive, under one name each and not
replaced by anything: without them no record could be found again.

In this order: ``select`` or ``omit`` choose among the source's fields, ``rename`` gives
those another name, ``constant`` and ``expression`` add fields (an expression reads the
source's, by their names there), ``cast`` changes the types of what results.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from enum import StrEnum
from math import isfinite
from typing import TypeAlias, TypeVar

from sync_pipelines.model.expression import (
    Expression,
    ExpressionError,
    columns_of,
    parse_expression,
)

Constant: TypeAlias = str | int | float | bool
T = TypeVar("T")

MOST_FIELDS = 1000
LONGEST_NAME = 63
MOST_DIGITS = 38
_TYPE = re.compile(r"([a-z]+)(?: ?\( ?([0-9]{1,2}) ?, ?([0-9]{1,2}) ?\))?")


class MappingError(ValueError):
    """A mapping that cannot be; ``path`` leads to the key that is wrong."""

    def __init__(self, path: tuple[str, ...], message: str) -> None:
        super().__init__(f"{'.'.join(('mapping', *path))}: {message}")
        self.path = path


class Kind(StrEnum):
    """What a field can be cast to."""

    TEXT = "text"
    INTEGER = "integer"
    FLOAT = "float"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"
    TIMESTAMPTZ = "timestamptz"


@dataclass(frozen=True, slots=True, kw_only=True)
class CastTo:
    """A type to cast to; ``precision`` and ``scale`` bound a decimal, and only that."""

    kind: Kind
    precision: int = 0
    scale: int = 0

    def __str__(self) -> str:
        if self.kind is Kind.DECIMAL:
            return f"decimal({self.precision},{self.scale})"
        return str(self.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """A field made by an expression, which is kept as it was written too."""

    name: str
    written: str
    expression: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldMapping:
    """The mapping of one stream. ``select`` empty means all but those in ``omit``."""

    select: tuple[str, ...] = ()
    omit: tuple[str, ...] = ()
    rename: tuple[tuple[str, str], ...] = ()
    constant: tuple[tuple[str, Constant], ...] = ()
    expression: tuple[Computed, ...] = ()
    cast: tuple[tuple[str, CastTo], ...] = ()

    def __post_init__(self) -> None:
        if self.select and self.omit:
            raise MappingError(("omit",), "select says what is kept already; leave one of them out")
        for old, new in self.rename:
            if not self.keeps(old):
                raise MappingError(("rename", old), f"{old!r} is not kept, so it has no new name")
            _check_name(("rename", old), new)
        named = [new for _, new in self.rename]
        named += [name for name in self.select if name not in dict(self.rename)]
        made = [*(name for name, _ in self.constant), *(one.name for one in self.expression)]
        for name in made:
            _check_name(("expression",), name)
        for name in (*named, *made):
            if (*named, *made).count(name) > 1:
                raise MappingError((), f"two fields would be called {name!r}; rename one of them")

    def keeps(self, column: str) -> bool:
        """Whether a field of the source goes on, under whatever name."""
        return column in self.select if self.select else column not in self.omit

    def named(self, column: str) -> str:
        """The name at the destination of a field that is kept."""
        return dict(self.rename).get(column, column)

    @property
    def made(self) -> tuple[str, ...]:
        """The fields that constants and expressions add, by name."""
        return (*(name for name, _ in self.constant), *(one.name for one in self.expression))

    @property
    def mentioned(self) -> Mapping[str, tuple[str, ...]]:
        """Every field of the source that the mapping names, and where it does."""
        found: dict[str, tuple[str, ...]] = {}
        for computed in self.expression:
            for column in columns_of(computed.expression):
                found.setdefault(column, ("expression", computed.name))
        for key, names in (
            ("select", self.select),
            ("omit", self.omit),
            ("rename", [old for old, _ in self.rename]),
        ):
            for name in names:
                found.setdefault(name, (key,))
        return found

    def require(self, column: str, *, what: str) -> None:
        """`MappingError` unless a field arrives as itself; ``what`` it is, for the message."""
        if not self.keeps(column):
            where = "select" if self.select else "omit"
            raise MappingError(
                (where,), f"{column!r} is {what}, without which no record is found again; keep it"
            )
        if self.named(column) in self.made:
            raise MappingError(
                (), f"{column!r} is {what} and would be replaced; give the new field another name"
            )

    def to_mapping(self) -> Mapping[str, object]:
        """As a tenant writes it, without what is not there."""
        written: dict[str, object] = {
            "select": list(self.select),
            "omit": list(self.omit),
            "rename": dict(self.rename),
            "constant": dict(self.constant),
            "expression": {one.name: one.written for one in self.expression},
            "cast": {name: str(kind) for name, kind in self.cast},
        }
        return {key: value for key, value in written.items() if value}


KEYS = tuple(one.name for one in fields(FieldMapping))


def parse_mapping(value: object) -> FieldMapping:
    """Read what a tenant wrote; `MappingError` says where it is wrong."""
    if not isinstance(value, Mapping):
        raise MappingError((), f"write a mapping with any of {', '.join(KEYS)}")
    for key in value:
        if key not in KEYS:
            near = get_close_matches(str(key), KEYS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(KEYS)}"
            raise MappingError((str(key),), f"{key!r} is not known; {hint}")
    expressions = _pairs(value, "expression", _expression)
    return FieldMapping(
        select=_names(value, "select"),
        omit=_names(value, "omit"),
        rename=_pairs(value, "rename", _text),
        constant=_pairs(value, "constant", _constant),
        expression=tuple(
            Computed(name=name, written=written, expression=parsed)
            for name, (written, parsed) in expressions
        ),
        cast=_pairs(value, "cast", _cast),
    )


def _names(value: Mapping[str, object], key: str) -> tuple[str, ...]:
    found = value.get(key)
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(one, str) and one for one in found):
        raise MappingError((key,), "write a list of names, such as [id, total]")
    if len(set(found)) < len(found) or len(found) > MOST_FIELDS:
        raise MappingError((key,), f"name each field once, and at most {MOST_FIELDS}")
    return tuple(found)


def _pairs(
    value: Mapping[str, object], key: str, read: Callable[[object], T]
) -> tuple[tuple[str, T], ...]:
    found = value.get(key)
    if found is None:
        return ()
    if not isinstance(found, Mapping) or len(found) > MOST_FIELDS:
        raise MappingError((key,), f"write a mapping from names, of at most {MOST_FIELDS}")
    pairs = []
    for name, written in found.items():
        try:
            pairs.append((str(name), read(written)))
        except ValueError as error:
            raise MappingError((key, str(name)), str(error)) from error
    return tuple(pairs)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{value!r} is wrong; write text")
    return value


def _expression(value: object) -> tuple[str, Expression]:
    written = str(value) if isinstance(value, int | float) else _text(value)
    try:
        return written, parse_expression(written)
    except ExpressionError as error:
        raise ValueError(str(error)) from error


def _constant(value: object) -> Constant:
    if not isinstance(value, str | int | float) or value != value:
        raise ValueError(f"{value!r} is wrong; write text, a number, true or false")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"{value} is too large; write it as text, and cast it")
    if isinstance(value, float) and not isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    return value


def _cast(value: object) -> CastTo:
    found = _TYPE.fullmatch(_text(value).strip().lower())
    known = ", ".join("decimal(12,2)" if kind is Kind.DECIMAL else kind for kind in Kind)
    if found is None or found[1] not in set(Kind):
        near = get_close_matches(found[1] if found else str(value), list(Kind), n=1)
        hint = f"did you mean {str(near[0])!r}?" if near else f"there are: {known}"
        raise ValueError(f"{value!r} is no type; {hint}")
    kind = Kind(found[1])
    bounded = found[2] is not None
    if bounded is not (kind is Kind.DECIMAL):
        raise ValueError(f"{value!r} is wrong; write one of {known}")
    if not bounded:
        return CastTo(kind=kind)
    precision, scale = int(found[2]), int(found[3])
    if not 1 <= precision <= MOST_DIGITS or scale > precision:
        raise ValueError(
            f"{value!r} is wrong; a decimal has 1 to {MOST_DIGITS} digits, and no more than "
            "those after the point"
        )
    return CastTo(kind=kind, precision=precision, scale=scale)


def _check_name(path: tuple[str, ...], name: str) -> None:
    if not name.strip() or "\0" in name or len(name.encode()) > LONGEST_NAME:
        raise MappingError(path, f"{name!r} cannot be a field's name; use 1 to 63 bytes of text")

"""What a column of texts may mean: words for types, and what a sample suggests. Pure.

Law: a type is inferred only if every value of the sample is spelled just as that type
spells it, so that nothing is lost by it: ``007`` and ``+1`` stay text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, TypeAlias

from connectors.arrow import Digits, Field, Logical, digits_of, field, logical_of
from connectors.late import pa, pc

Texts: TypeAlias = "pa.ChunkedArray[Any]"


class Word(StrEnum):
    r"""The types that a column can be given.

    ``instant`` is a time with a zone; ``bytes`` are spelled as PostgreSQL does, ``\x00ff``.
    """

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    FLOAT = "float"
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    INSTANT = "instant"
    JSON = "json"
    UUID = "uuid"
    BYTES = "bytes"


_WORD = re.compile(r"([a-z]+)(?:\((\d+),(\d+)\))?")
_MOST_DIGITS = 38


@dataclass(frozen=True, slots=True)
class Kind:
    """A type by its word; decimals may have bounds."""

    word: Word
    digits: Digits | None = None

    def __str__(self) -> str:
        """As a tenant writes it, ``decimal(12,2)`` among others."""
        bounds = self.digits
        return f"{self.word}({bounds.precision},{bounds.scale})" if bounds else self.word.value

    def field(self, name: str) -> Field:
        """A column of this type."""
        if self.word is Word.DECIMAL:
            if self.digits is None:
                return field(name, pa.string(), logical=Logical.DECIMAL)
            return field(name, pa.decimal128(self.digits.precision, self.digits.scale))
        logical = {Word.JSON: Logical.JSON, Word.UUID: Logical.UUID}.get(self.word)
        return field(name, _storages()[self.word], logical=logical)


@cache
def _storages() -> dict[Word, Any]:
    return {
        Word.TEXT: pa.string(),
        Word.INTEGER: pa.int64(),
        Word.FLOAT: pa.float64(),
        Word.BOOLEAN: pa.bool_(),
        Word.DATE: pa.date32(),
        Word.TIME: pa.time64("us"),
        Word.TIMESTAMP: pa.timestamp("us"),
        Word.INSTANT: pa.timestamp("us", "UTC"),
        Word.JSON: pa.string(),
        Word.UUID: pa.string(),
        Word.BYTES: pa.binary(),
    }


def kind_called(text: str) -> Kind:
    """The type of that name, ``decimal(12,2)`` among them; ValueError names those there are."""
    found = _WORD.fullmatch(text.replace(" ", ""))
    if found is None or found[1] not in Word.__members__.values():
        raise ValueError(f"{text!r} is no type; there are: {', '.join(Word)}, decimal(12,2)")
    word = Word(found[1])
    if found[2] is None:
        return Kind(word)
    digits = Digits(precision=int(found[2]), scale=int(found[3]))
    if word is not Word.DECIMAL or not 0 < digits.precision <= _MOST_DIGITS or digits.whole < 0:
        raise ValueError(f"{text!r}: only decimals have bounds, of at most {_MOST_DIGITS} digits")
    return Kind(word, digits)


def kind_of(one: Field) -> Kind:
    """The word by which a column is declared, so that its spelled values are read as they were.

    What has no type of its own in a text, lists among it, is a document or a text.
    """
    logical = logical_of(one)
    if logical is Logical.DECIMAL:
        digits = digits_of(one)
        bounded = digits is not None and digits.precision <= _MOST_DIGITS and digits.scale >= 0
        return Kind(Word.DECIMAL, digits if bounded else None)
    if logical in (Logical.JSON, Logical.UUID):
        return Kind(Word(logical.value))
    types, kind = pa.types, one.type
    if types.is_uint64(kind):
        return Kind(Word.DECIMAL)
    if types.is_nested(kind):
        return Kind(Word.JSON)
    if isinstance(kind, pa.TimestampType):
        return Kind(Word.TIMESTAMP if kind.tz is None else Word.INSTANT)
    plain = (
        (types.is_integer, Word.INTEGER),
        (types.is_floating, Word.FLOAT),
        (types.is_boolean, Word.BOOLEAN),
        (types.is_date, Word.DATE),
        (types.is_time, Word.TIME),
        (types.is_binary, Word.BYTES),
    )
    return Kind(next((word for fits, word in plain if fits(kind)), Word.TEXT))


PATTERNS = {
    Word.INTEGER: r"^(0|-?[1-9][0-9]{0,18})$",
    # A zero has no sign as a number.
    Word.DECIMAL: r"^(0|-?[1-9][0-9]*)(\.[0-9]+)?$|^-0\.[0-9]*[1-9][0-9]*$",
    Word.BOOLEAN: r"^(true|false)$",
    Word.DATE: r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    Word.TIMESTAMP: r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?$",
    Word.INSTANT: (
        r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
        r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"
    ),
    Word.UUID: r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
}
"""How the values of each type are spelled, where a sample may suggest it."""

IN_TEXT = (Word.INTEGER, Word.DECIMAL, Word.BOOLEAN, Word.DATE, Word.TIMESTAMP, Word.INSTANT)
IN_STRINGS = (Word.DATE, Word.TIMESTAMP, Word.INSTANT)
"""What a JSON string may stand for: its numbers and booleans have spellings of their own."""


def suggested(texts: Texts, among: tuple[Word, ...] = IN_TEXT) -> Kind | None:
    """The first type that every value is spelled as, or text; None without a value."""
    if texts.null_count == len(texts):
        return None
    for word in among:
        if matches(texts, word) and _converts(texts, Kind(word)):
            return Kind(word)
    return Kind(Word.TEXT)


def matches(texts: Texts, word: Word) -> bool:
    """Whether all values are spelled as the type spells them."""
    return pc.all(pc.match_substring_regex(texts, PATTERNS[word])).as_py() is not False


def _converts(texts: Texts, kind: Kind) -> bool:
    try:
        texts.cast(kind.field("").type)
    except pa.ArrowInvalid:
        return False
    return True


def common(one: Kind | None, other: Kind | None) -> Kind | None:
    """The type that holds the values of both exactly as they are spelled."""
    if one == other or other is None:
        return one
    if one is None:
        return other
    words = {one.word, other.word}
    if words == {Word.INTEGER, Word.DECIMAL}:
        return Kind(Word.DECIMAL)
    return Kind(Word.TEXT)

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

from connectors.arrow import Digits, Field, Logical, field
from connectors.late import pa, pc

Texts: TypeAlias = "pa.ChunkedArray[Any]"


class Word(StrEnum):
    """The types that a column can be given; ``instant`` is a time with a zone."""

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


_WORD = re.compile(r"([a-z]+)(?:\((\d+),(\d+)\))?")
_MOST_DIGITS = 38


@dataclass(frozen=True, slots=True)
class Kind:
    """A type by its word; decimals may have bounds."""

    word: Word
    digits: Digits | None = None

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

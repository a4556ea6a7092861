"""Texts become values of a column's type; what does not fit is set apart, never bent.

Law: a declared type is taken at its word, ``007`` as an integer is 7; an inferred one
takes only what is spelled as its own, and the rest stays as it came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from connectors.arrow import DataType
from connectors.files.kinds import PATTERNS, Kind, Texts, Word, matches
from connectors.late import pa, pc

_DECLARED = {
    Word.INTEGER: r"^[+-]?[0-9]+$",
    Word.DECIMAL: r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)$",
    Word.FLOAT: r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$|^[+-]?(inf|nan)$",
    Word.BOOLEAN: r"^([tT]rue|[fF]alse|TRUE|FALSE|[01])$",
    Word.DATE: PATTERNS[Word.DATE],
    Word.TIME: r"^[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?$",
    Word.TIMESTAMP: (
        r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
        r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?$"
    ),
    Word.INSTANT: (
        r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
        r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"
    ),
    Word.UUID: r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
    Word.BYTES: r"^\\x([0-9a-fA-F]{2})*$",
}
_CHECKED = {Word.INTEGER, Word.DECIMAL, Word.BOOLEAN}
"""Inferred types whose conversion alone would also take other spellings."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A column in its type; ``misfits`` marks the rows whose value did not fit, if any."""

    values: Any
    misfits: pa.Array[Any] | None = None


def fitted(texts: Texts, kind: Kind, *, declared: bool) -> Fitted:
    """The texts in the type of ``kind``; what does not fit is empty, and marked."""
    if kind.word in (Word.TEXT, Word.JSON):
        return Fitted(texts)
    wanted = kind.field("").type
    strict = not declared and kind.word in _CHECKED
    unbounded = kind.word is Word.DECIMAL and kind.digits is None
    by_pattern = unbounded or kind.word in (Word.UUID, Word.BYTES)
    if not (strict or (by_pattern and declared)) or _all_match(texts, kind.word, declared=declared):
        try:
            return Fitted(_cast(texts, wanted))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            pass
    return _sorted_out(texts, kind.word, wanted, declared=declared)


def _all_match(texts: Texts, word: Word, *, declared: bool) -> bool:
    if not declared:
        return matches(texts, word)
    return pc.all(pc.match_substring_regex(texts, _DECLARED[word])).as_py() is not False


def _sorted_out(texts: Texts, word: Word, wanted: DataType, *, declared: bool) -> Fitted:
    """By the spelling, then one by one: impossible days, numbers that are too large."""
    pattern = _DECLARED[word] if declared else PATTERNS[word]
    matching: Any = pc.match_substring_regex(texts, pattern)
    spelled: Any = pc.fill_null(matching, True)
    nothing: Any = pa.scalar(None, pa.string())
    kept: Any = pc.if_else(spelled, texts, nothing)
    try:
        values = _cast(kept, wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        values = pa.chunked_array([pa.array([_one(text, wanted) for text in kept], wanted)])
    misfits: Any = pc.and_(pc.is_null(values), pc.is_valid(texts))
    return Fitted(values, misfits.combine_chunks())


def _cast(texts: Any, wanted: DataType) -> Any:
    if pa.types.is_binary(wanted):
        found = [None if text is None else bytes.fromhex(text[2:]) for text in texts.to_pylist()]
        return pa.chunked_array([pa.array(found, wanted)])
    if not pa.types.is_time(wanted):
        return texts.cast(wanted)
    # Arrow reads no times of day, but those of a day.
    moments: Any = pc.binary_join_element_wise("1970-01-01", texts, " ")
    return moments.cast(pa.timestamp("us")).cast(wanted)


def _one(text: Any, wanted: DataType) -> Any:
    try:
        return _cast(pa.array([text.as_py()], pa.string()), wanted)[0].as_py()
    except (pa.ArrowInvalid, ValueError, OverflowError):
        return None

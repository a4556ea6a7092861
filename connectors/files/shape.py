"""Blocks of JSON lines as whole columns, where every line has the shape that is known.

Law: what has no type of its own here, objects and lists, stays the very bytes it was; so
do numbers with a fraction, which are decimals.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import attrgetter
from typing import Any

import msgspec

from connectors.files.kinds import Kind, Word
from connectors.late import pa, pc

_MOST_EXPONENT = 400

_STRINGS = frozenset(
    {Word.TEXT, Word.UUID, Word.DATE, Word.TIME, Word.TIMESTAMP, Word.INSTANT, Word.BYTES}
)
_NATIVE: Mapping[Word, Any] = {Word.INTEGER: int, Word.FLOAT: float, Word.BOOLEAN: bool}
"""Those whose values are in their type once they are decoded."""
_UNUSUAL = re.compile(r'[\\"\x00-\x1f]')
_PLAIN = b"-.0123456789"
"""What numbers are spelled with, if none has an exponent."""
_STRING = msgspec.json.Decoder(str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """A block's columns: texts that are to be typed, and what is in its type already."""

    rows: int
    values: pa.RecordBatch

    def parted(self, kinds: Mapping[str, Kind]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The texts, and what is sure."""
        texts: dict[str, Any] = {}
        sure: dict[str, Any] = {}
        for name, column in zip(self.values.schema.names, self.values.columns, strict=True):
            place = sure if kinds[name].word in _NATIVE else texts
            place[name] = pa.chunked_array([column])
        return texts, sure


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The fields that are known: of those not ``chosen`` nothing is kept.

    ``null_documents``: see `connectors.files.formats.Wanted`.
    """

    kinds: Mapping[str, Kind]
    chosen: frozenset[str]
    null_documents: bool

    @property
    def schema(self) -> pa.Schema:
        """Of the columns that are made."""
        return pa.schema(
            [
                kind.field(name) if kind.word in _NATIVE else pa.field(name, pa.string())
                for name, kind in self.kinds.items()
                if name in self.chosen
            ]
        )


class Decoder:
    """Decodes blocks of one shape, each line to a structure that has all known fields."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._schema = shape.schema
        slots = {f"f{number}": name for number, name in enumerate(shape.kinds)}
        self._read = [
            (attrgetter(slot), name) for slot, name in slots.items() if name in shape.chosen
        ]
        fields = [(slot, self._type(name), None) for slot, name in slots.items()]
        self._lines: Any = None
        # No structure's field can have such a name.
        if not any(_UNUSUAL.search(name) for name in shape.kinds):
            record = msgspec.defstruct(
                "Record", fields, rename=slots, forbid_unknown_fields=True, gc=False
            )
            self._lines = msgspec.json.Decoder(record)

    def _type(self, name: str) -> Any:
        if name not in self._shape.chosen:
            return msgspec.Raw
        word = self._shape.kinds[name].word
        native = str if word in _STRINGS else _NATIVE.get(word, msgspec.Raw)
        return native if native is msgspec.Raw else native | None

    def decoded(self, block: bytes) -> Columns | None:
        """The block's columns; None where something needs a closer look."""
        if self._lines is None:
            return None
        try:
            rows = self._lines.decode_lines(block)
            arrays = [self._column(name, list(map(of, rows))) for of, name in self._read]
            values = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        except (msgspec.MsgspecError, OverflowError, pa.ArrowInvalid, ValueError):
            return None
        return Columns(rows=len(rows), values=values)

    def _column(self, name: str, values: list[Any]) -> Any:
        word = self._shape.kinds[name].word
        if word in _STRINGS or word in _NATIVE:
            return pa.array(values, self._schema.field(name).type)
        if word is Word.JSON:
            return raw_texts(values, nulls=self._shape.null_documents)
        return numbers(values)


def raw_texts(values: Sequence[msgspec.Raw | bytes | None], *, nulls: bool = False) -> Any:
    """Values as they are spelled; null is no value, unless ``nulls``."""
    texts = _spellings(values)
    null: Any = pa.scalar("null")
    absent: Any = pc.equal(texts, null)
    if not nulls and pc.any(absent).as_py():
        nothing: Any = pa.scalar(None, pa.string())
        texts = pc.if_else(absent, nothing, texts)
    return texts


def _spellings(values: Sequence[msgspec.Raw | bytes | None]) -> Any:
    """The values' bytes as texts."""
    anything: Any = values
    try:
        joined: bytes = b"\n".join(anything)
    except TypeError:  # some are missing
        joined = b""
    if joined:
        whole: Any = pa.array([joined], pa.binary()).cast(pa.string())
        texts: Any = pc.split_pattern(whole, "\n").flatten()
        if len(texts) == len(values):  # there is no line break in what comes from a line
            return texts
    each = [None if value is None else bytes(value) for value in values]
    return pa.array(each, pa.binary()).cast(pa.string())


def numbers(values: Sequence[msgspec.Raw | bytes | None]) -> Any:
    """Numbers as they are spelled; those with an exponent, in full."""
    texts = raw_texts(values)
    signs = texts.buffers()[2]
    if signs is None or not signs.to_pybytes().translate(None, _PLAIN):
        return texts
    spelled = [None if text is None else _spelled(text.encode()) for text in texts.to_pylist()]
    return pa.array(spelled, pa.binary()).cast(pa.string())


def _spelled(raw: bytes) -> bytes:
    if raw[:1] == b'"':
        return text_of(raw).encode()
    if raw[:1] not in b"-0123456789" or not {69, 101} & set(raw):
        return raw
    number = Decimal(raw.decode())
    if abs(number.adjusted()) > _MOST_EXPONENT:
        return raw
    return format(number, "f").encode()


def text_of(raw: bytes) -> str:
    """A string by what it says, everything else by how it is spelled."""
    return _STRING.decode(raw) if raw[:1] == b'"' else raw.decode()

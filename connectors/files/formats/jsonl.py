"""JSON lines: blocks of lines decoded at once; where one does not fit, line by line.

Law: what has no type of its own here, objects and lists, stays the very bytes it was; so
do numbers with a fraction, which are decimals.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from operator import attrgetter
from typing import Any, BinaryIO

import msgspec

from connectors.ahead import ahead
from connectors.arrow import Field
from connectors.contract import Rejection
from connectors.errors import ConfigError
from connectors.files.formats import Options, Piece, Wanted
from connectors.files.formats.texts import TextRecords
from connectors.files.kinds import IN_STRINGS, Kind, Word, common, suggested
from connectors.late import pa, pc

BLOCK_BYTES = 2 * 1024 * 1024
LONGEST_LINE_BYTES = 64 * 1024 * 1024
AHEAD = 2
"""Blocks that are decoded while the one before them gets its types."""
_MOST_EXPONENT = 400

_STRINGS = frozenset(
    {Word.TEXT, Word.UUID, Word.DATE, Word.TIME, Word.TIMESTAMP, Word.INSTANT, Word.BYTES}
)
_NATIVE: Mapping[Word, Any] = {
    **dict.fromkeys(_STRINGS, str),
    Word.INTEGER: int,
    Word.FLOAT: float,
    Word.BOOLEAN: bool,
}
_UNUSUAL = re.compile(r'[\\"\x00-\x1f]')
_PLAIN_NUMBER = r"^-?[0-9]+(\.[0-9]+)?$"
_STRING = msgspec.json.Decoder(str)
_LINE = msgspec.json.Decoder(dict[str, msgspec.Raw])


class JsonLines:
    """See `Format`."""

    def fields(self, sample: BinaryIO, options: Options) -> Mapping[str, Field | Kind | None]:
        """Each field by the values that the sample has for it."""
        values: dict[str, list[bytes]] = {}
        for line in sample.read().split(b"\n"):
            for name, raw in (_decoded(line) or {}).items():
                values.setdefault(name, []).append(raw)
        return {name: _kind_of(found) for name, found in values.items()}

    def read(
        self, file: BinaryIO, wanted: Wanted, options: Options
    ) -> Generator[Piece, None, None]:
        """The records, a block at a time; a line that is no JSON object is rejected."""
        records = TextRecords(wanted, options.name)
        shape = _Shape(wanted)
        line = 0
        decoding = map(shape.decoded, _blocks(file, options.name))
        with closing(ahead(decoding, AHEAD, name="decode")) as found:
            for block, columns in found:
                if columns is None:
                    yield _slow(block, line, records, wanted, options)
                else:
                    yield records.piece(columns.texts, columns.rows, sure=columns.sure)
                line += block.count(b"\n") + (not block.endswith(b"\n"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """A block's columns: texts that are to be typed, and what is in its type already."""

    rows: int
    texts: Mapping[str, Any]
    sure: Mapping[str, Any]


class _Shape:
    """A structure with all known fields: those that are not read stay raw, and are left.

    There is no ``decoder`` where a field has a name that no structure's field can have.
    """

    def __init__(self, wanted: Wanted) -> None:
        names = list(wanted.known)
        slots = {f"f{number}": name for number, name in enumerate(names)}
        self.read = [
            (attrgetter(slot), name) for slot, name in slots.items() if name in wanted.chosen
        ]
        self.kinds = wanted.kinds
        self.null_documents = wanted.null_documents
        fields = [(slot, self._type(name, wanted), None) for slot, name in slots.items()]
        self.decoder: Any = None
        if not any(_UNUSUAL.search(name) for name in names):
            record = msgspec.defstruct(
                "Record", fields, rename=slots, forbid_unknown_fields=True, gc=False
            )
            self.decoder = msgspec.json.Decoder(record)

    def _type(self, name: str, wanted: Wanted) -> Any:
        native = _NATIVE.get(wanted.kinds[name].word) if name in wanted.chosen else None
        return msgspec.Raw if native is None else native | None

    def decoded(self, block: bytes) -> tuple[bytes, _Columns | None]:
        """The block, and whole columns; None where something needs a closer look."""
        try:
            rows = self.decoder.decode_lines(block) if self.decoder else None
            return block, None if rows is None else self._columns(rows)
        except (msgspec.MsgspecError, OverflowError, pa.ArrowInvalid, ValueError):
            return block, None

    def _columns(self, rows: Sequence[Any]) -> _Columns:
        texts: dict[str, Any] = {}
        sure: dict[str, Any] = {}
        for values_of, name in self.read if rows else ():
            kind = self.kinds[name]
            values = list(map(values_of, rows))
            if kind.word in _NATIVE and kind.word not in _STRINGS:
                sure[name] = pa.chunked_array([pa.array(values, kind.field("").type)])
            elif kind.word in _STRINGS:
                texts[name] = pa.chunked_array([pa.array(values, pa.string())])
            elif kind.word is Word.JSON:
                texts[name] = _raw_texts(values, nulls=self.null_documents)
            else:
                texts[name] = _numbers(values)
        return _Columns(rows=len(rows), texts=texts, sure=sure)


def _raw_texts(values: Sequence[msgspec.Raw | bytes | None], *, nulls: bool = False) -> Any:
    """Values as they are spelled; null is no value, unless ``nulls``."""
    texts = _spellings(values)
    null: Any = pa.scalar("null")
    absent: Any = pc.equal(texts, null)
    if not nulls and pc.any(absent).as_py():
        nothing: Any = pa.scalar(None, pa.string())
        texts = pc.if_else(absent, nothing, texts)
    return pa.chunked_array([texts])


def _spellings(values: Sequence[msgspec.Raw | bytes | None]) -> Any:
    """The values' bytes as texts."""
    anything: Any = values
    try:
        # All at once: there is no line break in what comes from a line.
        joined: bytes = b"\n".join(anything)
    except TypeError:  # some are missing
        joined = b""
    if joined and joined.count(b"\n") == len(values) - 1:
        whole: Any = pa.array([joined], pa.binary()).cast(pa.string())
        return pc.split_pattern(whole, "\n").flatten()
    each = [None if value is None else bytes(value) for value in values]
    return pa.array(each, pa.binary()).cast(pa.string())


def _numbers(values: Sequence[msgspec.Raw | bytes | None]) -> Any:
    """Numbers as they are spelled; those with an exponent, in full."""
    texts = _raw_texts(values)
    if pc.all(pc.match_substring_regex(texts, _PLAIN_NUMBER)).as_py() is not False:
        return texts
    spelled = [None if text is None else _spelled(text.encode()) for text in texts.to_pylist()]
    return pa.chunked_array([pa.array(spelled, pa.binary()).cast(pa.string())])


def _spelled(raw: bytes) -> bytes:
    if raw[:1] == b'"':
        return _text_of(raw).encode()
    if raw[:1] not in b"-0123456789" or not {69, 101} & set(raw):
        return raw
    number = Decimal(raw.decode())
    if abs(number.adjusted()) > _MOST_EXPONENT:
        return raw
    return format(number, "f").encode()


def _text_of(raw: bytes) -> str:
    return _STRING.decode(raw) if raw[:1] == b'"' else raw.decode()


def _blocks(file: BinaryIO, name: str) -> Iterator[bytes]:
    """Whole lines, about `BLOCK_BYTES` of them at a time."""
    parts: list[bytes] = []
    size = 0
    while chunk := file.read(BLOCK_BYTES):
        end = chunk.rfind(b"\n") + 1
        if end:
            yield b"".join((*parts, chunk[:end]))
            parts, size = [chunk[end:]], len(chunk) - end
            continue
        parts.append(chunk)
        size += len(chunk)
        if size > LONGEST_LINE_BYTES:
            raise ConfigError(
                f"{name!r} has a line of more than {LONGEST_LINE_BYTES // 1024**2} MB; write one "
                "JSON object a line"
            )
    rest = b"".join(parts)
    if rest.strip():
        yield rest


def _decoded(line: bytes) -> Mapping[str, bytes] | None:
    """The fields of one line, raw; None if it is no JSON object."""
    try:
        line.decode()
        return {name: bytes(raw) for name, raw in _LINE.decode(line).items()}
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _slow(
    block: bytes, before: int, records: TextRecords, wanted: Wanted, options: Options
) -> Piece:
    """Line by line, every value as its text."""
    found: list[Mapping[str, bytes]] = []
    rejected: list[Rejection] = []
    for number, line in enumerate(block.split(b"\n"), start=before + 1):
        if not line.strip():
            continue
        fields = _decoded(line)
        if fields is None:
            key = f"{options.name}:{number}"
            rejected.append(Rejection(key=key, reason=f"line {number} is no JSON object"))
        else:
            found.append(fields)
    names = dict.fromkeys(name for fields in found for name in fields if wanted.reads(name))
    columns = {
        name: _as_texts([fields.get(name) for fields in found], wanted, name) for name in names
    }
    return records.piece(columns, len(found), tuple(rejected))


def _as_texts(values: Sequence[bytes | None], wanted: Wanted, name: str) -> Any:
    """Strings by what they say, everything else by how it is spelled."""
    kind = wanted.kinds.get(name)
    if kind is not None and kind.word is Word.JSON:
        return _raw_texts(values, nulls=wanted.null_documents)
    if kind is not None and kind.word in (Word.DECIMAL, Word.INTEGER):
        return _numbers(values)
    texts = [None if value in (None, b"null") else _text_of(value or b"") for value in values]
    return pa.chunked_array([pa.array(texts, pa.string())])


def _kind_of(values: Sequence[bytes]) -> Kind | None:
    """The type that holds every value; None if they are all null."""
    found: Kind | None = None
    strings: list[str] = []
    for raw in values:
        if raw[:1] == b'"':
            strings.append(_text_of(raw))
        elif raw != b"null":
            found = _together(found, _kind_of_one(raw))
    if not strings:
        return found
    said = suggested(pa.chunked_array([pa.array(strings, pa.string())]), IN_STRINGS)
    return said if found is None else Kind(Word.JSON if found.word is Word.JSON else Word.TEXT)


def _kind_of_one(raw: bytes) -> Kind:
    if raw[:1] in b"{[":
        return Kind(Word.JSON)
    if raw in (b"true", b"false"):
        return Kind(Word.BOOLEAN)
    whole = raw.removeprefix(b"-").isdigit()
    fits = whole and len(raw) <= 20 and -(2**63) <= int(raw) < 2**63
    return Kind(Word.INTEGER if fits else Word.DECIMAL)


def _together(one: Kind | None, other: Kind) -> Kind:
    if one is not None and Word.JSON in (one.word, other.word) and one != other:
        return Kind(Word.JSON)
    return common(one, other) or other

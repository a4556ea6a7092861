"""JSON lines: blocks of lines decoded at once; where one does not fit, line by line.

Law: what has no type of its own here, objects and lists, stays the very bytes it was; so
do numbers with a fraction, which are decimals.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import chain, islice
from typing import Any, BinaryIO, TypeAlias

import msgspec

from connectors.ahead import ahead
from connectors.arrow import Field
from connectors.contract import Rejection
from connectors.errors import ConfigError
from connectors.files.aside import Aside
from connectors.files.formats import Options, Piece, Wanted
from connectors.files.formats.texts import TextRecords
from connectors.files.kinds import IN_STRINGS, Kind, Word, common, suggested
from connectors.files.shape import Columns, Decoder, Shape, numbers, raw_texts, text_of
from connectors.late import late, pa

np = late("numpy")

BLOCK_BYTES = 2 * 1024 * 1024
LONGEST_LINE_BYTES = 64 * 1024 * 1024
AHEAD = 2
"""Blocks that are decoded while the one before them gets its types."""
ALONE = 8
"""Blocks that are decoded here in any case: to start another process takes as long."""

MOST_LOAD = 2
"""Programs that want a processor, for each that there is, while another process is started."""

_Decoded: TypeAlias = Generator[tuple[bytes, Columns | None], None, None]
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
        kinds = {name: wanted.kinds[name] for name in wanted.known}
        shape = Shape(kinds=kinds, chosen=wanted.chosen, null_documents=wanted.null_documents)
        line = 0
        with closing(_decoding(_blocks(file, options.name), shape, options.name)) as found:
            for block, columns in found:
                if columns is None:
                    yield _slow(block, line, records, wanted, options)
                else:
                    texts, sure = columns.parted(kinds)
                    yield records.piece(texts, columns.rows, sure=sure)
                line += _lines_of(block)


def _decoding(blocks: Iterator[bytes], shape: Shape, name: str) -> _Decoded:
    """Each block with its columns; after the first ones, by a process of its own."""
    decoder = Decoder(shape)

    def here(some: Iterator[bytes]) -> _Decoded:
        return ahead(((one, decoder.decoded(one)) for one in some), AHEAD, name="decode")

    with closing(here(islice(blocks, ALONE))) as found:
        yield from found
    more = next(blocks, None)
    if more is None:
        return
    rest = chain([more], blocks)
    if _is_busy():
        with closing(here(rest)) as found:
            yield from found
        return
    with closing(Aside(shape, name=name)) as aside:
        # The destination would wait for the process to start, too.
        with closing(here(aside.before(rest))) as found:
            yield from found
        with closing(aside.decoded(rest)) as found:
            yield from found


def _is_busy() -> bool:
    """Whether so much runs here that another process would only take from the others."""
    return os.getloadavg()[0] > MOST_LOAD * (os.cpu_count() or 1)


def _blocks(file: BinaryIO, name: str) -> Iterator[bytes]:
    """Whole lines, about `BLOCK_BYTES` of them at a time."""
    parts: list[bytes | memoryview] = []
    size = 0
    while chunk := file.read(BLOCK_BYTES):
        end = chunk.rfind(b"\n") + 1
        if end:
            yield b"".join((*parts, memoryview(chunk)[:end]))
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


def _lines_of(block: bytes) -> int:
    """How many lines it has; bytes count them five times as slowly."""
    breaks = np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n"))
    return int(breaks) + (not block.endswith(b"\n"))


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
        return pa.chunked_array([raw_texts(values, nulls=wanted.null_documents)])
    if kind is not None and kind.word in (Word.DECIMAL, Word.INTEGER):
        return pa.chunked_array([numbers(values)])
    texts = [None if value in (None, b"null") else text_of(value or b"") for value in values]
    return pa.chunked_array([pa.array(texts, pa.string())])


def _kind_of(values: Sequence[bytes]) -> Kind | None:
    """The type that holds every value; None if they are all null."""
    found: Kind | None = None
    strings: list[str] = []
    for raw in values:
        if raw[:1] == b'"':
            strings.append(text_of(raw))
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

"""CSV: read as texts by column, and typed column by column."""

from __future__ import annotations

import csv
import io
from collections.abc import Generator, Mapping
from typing import Any, BinaryIO, Literal

import pyarrow.csv as arrow_csv

from connectors.arrow import Field
from connectors.contract import Rejection
from connectors.errors import ConfigError
from connectors.files.formats import SAMPLE_BYTES, Options, Piece, Wanted
from connectors.files.formats.texts import TextRecords
from connectors.files.kinds import Kind, suggested
from connectors.late import pa

BLOCK_BYTES = 1024 * 1024


class Csv:
    """See `Format`."""

    def fields(self, sample: BinaryIO, options: Options) -> Mapping[str, Field | Kind | None]:
        """Each column by what the sample's values suggest."""
        begun = sample.read()
        names = _header(begun, options)
        if not names:
            return {}
        found: dict[str, Kind | None] = dict.fromkeys(names)
        try:
            table = _opened(io.BytesIO(begun), names, options, names, []).read_all()
        except pa.ArrowInvalid as error:
            if _is_empty(error):
                return found
            if len(begun) < SAMPLE_BYTES // 2:
                raise _unreadable(options, error) from error
            return found  # the sample ends inside a quoted text
        return {name: suggested(table.column(name)) for name in names}

    def read(
        self, file: BinaryIO, wanted: Wanted, options: Options
    ) -> Generator[Piece, None, None]:
        """The records, a block at a time; lines of another length are rejected."""
        buffered = io.BufferedReader(_Begun(file), BLOCK_BYTES)
        begun = buffered.raw.begin(SAMPLE_BYTES)
        names = options.names or _header(begun, options)
        if not names:
            return
        read = [name for name in names if wanted.reads(name)] or list(names[:1])
        records = TextRecords(wanted, options.name)
        odd: list[Rejection] = []
        try:
            for batch in _opened(buffered, names, options, read, odd):
                columns = {
                    name: pa.chunked_array([batch.column(name)])
                    for name in batch.schema.names
                    if wanted.reads(name)
                }
                bad = tuple(odd)
                odd.clear()
                yield records.piece(columns, batch.num_rows, bad)
        except pa.ArrowInvalid as error:
            if not _is_empty(error):
                raise _unreadable(options, error) from error
        if odd:
            yield records.piece({name: _no_texts() for name in read}, 0, tuple(odd))


def header(begun: bytes, options: Options) -> tuple[str, ...]:
    """The columns that the beginning of an object names."""
    return _header(begun, options)


def _no_texts() -> Any:
    return pa.chunked_array([pa.array([], pa.string())])


class _Begun(io.RawIOBase):
    """A file whose beginning may be looked at before it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._rest = b""

    def begin(self, size: int) -> bytes:
        """So many first bytes, which are still to be read."""
        self._rest = self._file.read(size)
        return self._rest

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """The next bytes; none at the end."""
        target = memoryview(buffer)
        chunk = self._rest[: len(target)] or self._file.read(len(target))
        self._rest = self._rest[len(target) :]
        target[: len(chunk)] = chunk
        return len(chunk)


def _header(begun: bytes, options: Options) -> tuple[str, ...]:
    encoding = options.csv.encoding
    text = begun.decode(
        "utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding, "replace"
    )
    lines = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=_delimiter(options, text),
        quotechar=options.csv.quote,
    )
    first = next((line for line in lines if line), None)
    if first is None:
        return ()
    if options.csv.header:
        names = tuple(first)
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated is not None:
            raise ConfigError(f"{options.name!r} has two columns {repeated!r}; rename one of them")
        return names
    declared = tuple(options.declared)
    extra = (f"column_{number}" for number in range(len(declared) + 1, len(first) + 1))
    return (*declared, *extra)[: max(len(first), len(declared))]


def _delimiter(options: Options, text: str | None = None) -> str:
    if options.csv.delimiter is not None:
        return options.csv.delimiter
    return "\t" if ".tsv" in options.name.lower() else ","


def _opened(
    file: Any,
    names: tuple[str, ...],
    options: Options,
    read: Any,
    odd: list[Rejection],
) -> Any:
    def set_aside(row: Any) -> Literal["skip"]:
        number = f"line {row.number}" if row.number is not None else "a line"
        odd.append(
            Rejection(
                key=f"{options.name}:{row.number}",
                reason=f"{number} has {row.actual_columns} values, not {row.expected_columns}",
            )
        )
        return "skip"

    has_header = options.csv.header and not options.names
    return arrow_csv.open_csv(
        file,
        read_options=arrow_csv.ReadOptions(
            block_size=max(BLOCK_BYTES, options.longest_bytes),
            use_threads=False,
            encoding=options.csv.encoding,
            column_names=None if has_header else list(names),
        ),
        parse_options=arrow_csv.ParseOptions(
            delimiter=_delimiter(options),
            quote_char=options.csv.quote,
            newlines_in_values=True,
            ignore_empty_lines=not options.csv.empty_lines,
            invalid_row_handler=set_aside,
        ),
        convert_options=arrow_csv.ConvertOptions(
            column_types={name: pa.string() for name in names},
            include_columns=list(read),
            null_values=list(options.csv.null_words),
            strings_can_be_null=bool(options.csv.null_words),
            quoted_strings_can_be_null=False,
        ),
    )


def _is_empty(error: pa.ArrowInvalid) -> bool:
    """A header without an end of line is all there is."""
    return "Empty CSV file" in str(error)


def _unreadable(options: Options, error: pa.ArrowInvalid) -> ConfigError:
    said = str(error)
    if "UTF8" in said:
        return ConfigError(
            f"{options.name!r} is not in {options.csv.encoding}; set csv.encoding of the stream, "
            "to latin-1 for example"
        )
    if "straddling" in said:
        return ConfigError(
            f"{options.name!r} has a record of more than {BLOCK_BYTES // 1024**2} MB; a quote that "
            "is never closed looks like that: check csv.quote and csv.delimiter"
        )
    return ConfigError(f"{options.name!r} is no CSV as described: {said.splitlines()[0][:200]}")

"""Excel sheets: the first row names the columns; cells are read one after the other."""

from __future__ import annotations

import zipfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from itertools import islice
from typing import Any, BinaryIO

import openpyxl

from connectors.arrow import Field
from connectors.errors import ConfigError, TransientError
from connectors.files.formats import Options, Piece, Wanted
from connectors.files.formats.texts import TextRecords
from connectors.files.kinds import Kind, Word, common
from connectors.late import pa

BATCH_ROWS = 5_000
SAMPLE_ROWS = 1_000
MOST_UNPACKED_BYTES = 4 * 1024**3


class Excel:
    """See `Format`; the whole object is needed, even for its columns."""

    def fields(self, sample: BinaryIO, options: Options) -> Mapping[str, Field | Kind | None]:
        """Each column by its first cells."""
        with _rows(sample, options) as rows:
            names = _names(next(rows, ()), options)
            found: dict[str, Kind | None] = dict.fromkeys(names)
            for row in islice(rows, SAMPLE_ROWS):
                for name, cell in zip(names, row, strict=False):
                    if cell is not None:
                        found[name] = common(found[name], Kind(_word(cell)))
            return found

    def read(
        self, file: BinaryIO, wanted: Wanted, options: Options
    ) -> Generator[Piece, None, None]:
        """The records, some thousand at a time."""
        records = TextRecords(wanted, options.name)
        with _rows(file, options) as rows:
            names = _names(next(rows, ()), options)
            while batch := list(islice(rows, BATCH_ROWS)):
                yield records.piece(_columns(names, batch, wanted), len(batch))


@contextmanager
def _rows(file: BinaryIO, options: Options) -> Iterator[Iterator[Sequence[Any]]]:
    try:
        with zipfile.ZipFile(file) as packed:
            size = sum(member.file_size for member in packed.infolist())
        if size > MOST_UNPACKED_BYTES:
            raise ConfigError(
                f"{options.name!r} unpacks to {size // 1024**2} MB, which is too much"
            )
        file.seek(0)
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise TransientError(f"{options.name!r} is half-written, or no sound Excel file") from error
    with closing(book):
        if options.sheet is not None and options.sheet not in book.sheetnames:
            known = ", ".join(map(repr, book.sheetnames))
            raise ConfigError(f"{options.name!r} has no sheet {options.sheet!r}; it has {known}")
        sheet = book[options.sheet or book.sheetnames[0]]
        rows = sheet.iter_rows(values_only=True)
        yield (row for row in rows if any(cell is not None for cell in row))


def _names(cells: Sequence[Any], options: Options) -> tuple[str, ...]:
    names = tuple(
        f"column_{number}" if cell is None else str(cell)
        for number, cell in enumerate(cells, start=1)
    )
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise ConfigError(f"{options.name!r} has two columns {repeated!r}; rename one of them")
    return names


def _columns(names: Sequence[str], rows: Sequence[Sequence[Any]], wanted: Wanted) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, name in enumerate(names):
        if wanted.reads(name):
            cells = [row[number] if number < len(row) else None for row in rows]
            texts = [None if cell is None else _text(cell) for cell in cells]
            found[name] = pa.chunked_array([pa.array(texts, pa.string())])
    return found


def _word(cell: Any) -> Word:
    if isinstance(cell, bool):
        return Word.BOOLEAN
    if isinstance(cell, int):
        return Word.INTEGER
    if isinstance(cell, float):
        return Word.DECIMAL
    if isinstance(cell, datetime):
        return Word.TIMESTAMP
    if isinstance(cell, date):
        return Word.DATE
    return Word.TIME if isinstance(cell, time) else Word.TEXT


def _text(cell: Any) -> str:
    """A cell as the conversions spell it: a number in the digits that Excel shows of it."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return format(Decimal(repr(cell)), "f")
    if isinstance(cell, datetime | date | time):
        return cell.isoformat()
    return str(cell)

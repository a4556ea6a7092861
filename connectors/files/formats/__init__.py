"""How records are written in an object: each format reads them lazily into Arrow.

Laws: memory does not grow with the object; columns are read by name, and one that nobody
has heard of is added, not dropped; a value that its column cannot hold is set apart.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from connectors.arrow import Field
from connectors.contract import Rejection
from connectors.files.config import CsvOptions, FormatName, Misfits
from connectors.files.kinds import Kind
from connectors.late import pa

SAMPLE_BYTES = 1024 * 1024
"""Of an object, unpacked, from which types are inferred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a reader is to bring: ``known`` are all columns that the stream has, and
    ``chosen`` those to be read; a column that is not known is read as well.

    ``declared`` names the columns whose type is the tenant's word. ``null_documents``: JSON's
    null is a document, as in what we have written, and only what is left out is NULL.
    """

    known: Mapping[str, Field]
    chosen: frozenset[str]
    kinds: Mapping[str, Kind]
    declared: frozenset[str]
    misfits: Misfits = Misfits.VARIANT
    null_documents: bool = False

    def reads(self, name: str) -> bool:
        """Whether a column of the object is wanted."""
        return name in self.chosen or name not in self.known


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a format must be told about an object."""

    name: str
    csv: CsvOptions = field(default_factory=CsvOptions)
    sheet: str | None = None
    declared: Mapping[str, Kind] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    """The columns, where they were read before and the object is continued without a header."""
    longest_bytes: int = 0
    """The longest record, where it is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some records; ``numbers`` are theirs within the object, from 1."""

    data: pa.Table
    numbers: pa.Array[pa.Int64Scalar]
    rejected: tuple[Rejection, ...] = ()


class Format(Protocol):
    """One way to write records."""

    def fields(self, sample: BinaryIO, options: Options) -> Mapping[str, Field | Kind | None]:
        """The columns of an object's beginning; None for a type that nothing tells yet."""
        ...

    def read(
        self, file: BinaryIO, wanted: Wanted, options: Options
    ) -> Generator[Piece, None, None]:
        """The records of an object; `TransientError` where it ends too early."""
        ...


def format_called(name: FormatName) -> Format:
    """The format of that name."""
    if name is FormatName.CSV:
        from connectors.files.formats.csv import Csv

        return Csv()
    if name is FormatName.JSONL:
        from connectors.files.formats.jsonl import JsonLines

        return JsonLines()
    if name is FormatName.PARQUET:
        from connectors.files.formats.parquet import Parquet

        return Parquet()
    from connectors.files.formats.excel import Excel

    return Excel()

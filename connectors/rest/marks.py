"""Cursors inside raw records: the last of a page, whether a page rises, what is fresh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.errors import ConfigError
from connectors.late import pa, pc
from connectors.rest.columns import Column, cursors_of
from connectors.rest.records import Record
from connectors.rest.spec import StreamSpec
from connectors.sql.cursor import COUNTED_IN_ARROW, Kind, Mark, greatest, kind_of


def cursor_kind(stream: str, column: Column) -> Kind:
    """What a cursor column counts in; `ConfigError` if it does not count."""
    kind = kind_of(column.field)
    if kind is None or kind not in COUNTED_IN_ARROW:
        raise ConfigError(
            f"stream {stream!r}: cursor_field {column.name!r} is {column.kind}; a cursor is a "
            "time, a date or a whole number: declare the column as one"
        )
    return kind


@dataclass(frozen=True, slots=True)
class Marks:
    """Knows each stream's cursor column; None where it has none."""

    columns: Mapping[str, Column | None]

    def _array(self, spec: StreamSpec, column: Column, records: Sequence[Record]) -> Any:
        """Each record's cursor, as many as there are records."""
        if spec.edit is not None:
            records = [spec.edit(record) for record in records]
        return cursors_of(records, column)

    def _cursors(self, spec: StreamSpec, records: Sequence[Record]) -> tuple[Column, Any]:
        column = self.columns[spec.name]
        assert column is not None
        return column, self._array(spec, column, records)

    def last(self, spec: StreamSpec, records: Sequence[Record]) -> Mark | None:
        """The greatest cursor of a page; None if it has none."""
        column, values = self._cursors(spec, records)
        return greatest(cursor_kind(spec.name, column), pa.chunked_array([values]), None)

    def values(self, spec: StreamSpec, records: Sequence[Record]) -> Sequence[Any]:
        """Each record's cursor; None where it has none, or none that can be read."""
        column = self.columns[spec.name]
        assert column is not None
        found: Sequence[Any] = self._array(spec, column, records).to_pylist()
        return found

    def rise(self, spec: StreamSpec, records: Sequence[Record]) -> bool:
        """Whether no record has a lower cursor than the one before it."""
        _, values = self._cursors(spec, records)
        values = values.drop_null()
        return pc.all(pc.less_equal(values[:-1], values[1:])).as_py() is not False

    def since(
        self, spec: StreamSpec, records: Sequence[Record], since: Mark | None
    ) -> Sequence[Record]:
        """The records that are not older; those without a cursor are kept."""
        column = self.columns.get(spec.name)
        if since is None or column is None or spec.parent is not None:
            return records
        if spec.edit is not None:
            return records
        keep = kept_since(cursors_of(records, column), since)
        return [one for one, wanted in zip(records, keep.to_pylist(), strict=True) if wanted]


def edge(spec: StreamSpec, mark: Mark) -> Any:
    """The lowest cursor that comes again when ``mark`` is asked for."""
    asked = spec.incremental
    lowest = mark if asked is None or not asked.exclusive else mark.before(asked.resolution)
    return lowest.order


def kept_since(values: Any, since: Mark) -> Any:
    """For each cursor, whether it is missing or not older."""
    bound = pa.scalar(since.value, values.type)
    return pc.or_kleene(pc.is_null(values), pc.greater_equal(values, bound))

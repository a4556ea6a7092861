"""Applies a stream's mapping to its batches: whole columns at a time, in Arrow.

Laws: a record that cannot be computed or cast is rejected with its key and the field's
name, and the others go on; what no record could satisfy (a missing field, a function that
does not take such a type) is a `ConfigError` before anything is read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from connectors.arrow import Digits, Logical, field, logical_of, spelled
from connectors.contract import Batch, PgCopy, Rejection, Stream
from connectors.described import arrow_schema
from connectors.errors import ConfigError, ContractError
from connectors.late import pa, pc
from connectors.payload import rejection
from sync_pipelines.engine.computing import compute, loaded
from sync_pipelines.model.expression import columns_of
from sync_pipelines.model.mapping import CastTo, Computed, FieldMapping, Kind


class _UnfitError(Exception):
    """Some record of a table cannot be made what the mapping says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapper:
    """The mapping of one stream, checked against what the source offers."""

    mapping: FieldMapping
    stream: Stream
    schema: "pa.Schema"

    @classmethod
    def of(cls, mapping: FieldMapping, stream: Stream) -> "Mapper":
        """`ConfigError` where the mapping and the stream's fields do not fit."""
        _check_fields(mapping, stream)
        empty = arrow_schema(stream.schema).empty_table()
        try:
            schema = _mapped(mapping, empty).schema
        except _UnfitError as error:
            raise ConfigError(f"stream {stream.name!r}: {error}") from error
        known = [name for name in schema.names if pa.types.is_null(schema.field(name).type)]
        if known:
            raise ConfigError(
                f"stream {stream.name!r}: mapping.expression.{known[0]} is always NULL; "
                "cast it, or leave it out"
            )
        return cls(mapping=mapping, stream=stream, schema=schema)

    @property
    def primary_key(self) -> tuple[str, ...]:
        """The key, by its names at the destination."""
        return tuple(self.mapping.named(name) for name in self.stream.primary_key)

    @property
    def cursor_field(self) -> str | None:
        """The cursor, by its name at the destination."""
        cursor = self.stream.cursor_field
        return None if cursor is None else self.mapping.named(cursor)

    def apply(self, batch: Batch) -> Batch:
        """One batch, mapped; what does not fit is among its rejections."""
        if isinstance(batch.data, PgCopy):
            raise ContractError("a mapped stream was read as pgcopy, which nobody decodes")
        whole = _completed(batch.data, arrow_schema(self.stream.schema))
        parts, rejected = self._sifted(whole)
        data = pa.concat_tables(parts) if parts else self.schema.empty_table()
        told = batch.deleted
        deleted = None if told is None else self._keys(told)
        return replace(batch, data=data, rejected=(*batch.rejected, *rejected), deleted=deleted)

    def _keys(self, told: "pa.Table") -> "pa.Table":
        """Keys as the destination has them; one that cannot be was never there."""
        key = self.stream.primary_key
        names = [self.mapping.named(name) for name in key]
        only = FieldMapping(
            rename=tuple((old, new) for old, new in self.mapping.rename if old in key),
            cast=tuple((name, kind) for name, kind in self.mapping.cast if name in names),
        )
        mapper = replace(self, mapping=only)
        parts, _ = mapper._sifted(told.select(list(key)))
        return pa.concat_tables(parts) if parts else self.schema.empty_table().select(names)

    def _sifted(self, table: "pa.Table") -> "tuple[list[pa.Table], list[Rejection]]":
        """The records that fit, and those that do not: halves are tried until one is alone."""
        try:
            return [_mapped(self.mapping, table)], []
        except _UnfitError as error:
            if table.num_rows <= 1:
                return [], [self._rejected(table, str(error))]
        half = table.num_rows // 2
        first, second = self._sifted(table.slice(0, half)), self._sifted(table.slice(half))
        return first[0] + second[0], first[1] + second[1]

    def _rejected(self, record: "pa.Table", reason: str) -> Rejection:
        return rejection(record.to_pylist()[0], self.stream.primary_key, reason)


def _check_fields(mapping: FieldMapping, stream: Stream) -> None:
    """Every field that the mapping names is there; key and cursor arrive."""
    known = stream.schema.names
    for name, path in mapping.mentioned.items():
        if name not in known:
            where = ".".join(("mapping", *path))
            raise ConfigError(f"stream {stream.name!r}: {where}: {_missing(name, known)}")
    try:
        for name in stream.primary_key:
            mapping.require(name, what="part of the primary key")
        if stream.cursor_field is not None:
            mapping.require(stream.cursor_field, what="the cursor")
    except ValueError as error:
        raise ConfigError(f"stream {stream.name!r}: {error}") from error
    arriving = [mapping.named(name) for name in known if mapping.keeps(name)]
    taken = {name for name in arriving if arriving.count(name) > 1}
    for name in (*sorted(taken), *(made for made in mapping.made if made in arriving)):
        raise ConfigError(
            f"stream {stream.name!r}: mapping: two fields would be called {name!r}; omit or "
            "rename one of them"
        )
    arriving += mapping.made
    for name, _ in mapping.cast:
        if name not in arriving:
            raise ConfigError(
                f"stream {stream.name!r}: mapping.cast.{name}: {_missing(name, arriving)}"
            )


def _missing(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
    return f"there is no field {name!r}; {hint}"


def _completed(table: "pa.Table", schema: "pa.Schema") -> "pa.Table":
    """The table with the columns that this batch happens to lack, all NULL."""
    for one in schema:
        if one.name not in table.column_names:
            table = table.append_column(one, pa.nulls(table.num_rows, one.type))
    return table


def _mapped(mapping: FieldMapping, table: "pa.Table") -> "pa.Table":
    """The table as the mapping makes it; `_UnfitError` names the field that cannot be."""
    columns: list[Any] = []
    fields: list[Any] = []
    for one in table.schema:
        if mapping.keeps(one.name):
            fields.append(one.with_name(mapping.named(one.name)))
            columns.append(table.column(one.name))
    for name, value in mapping.constant:
        scalar: Any = pa.scalar(value)
        column = _repeated(scalar, table.num_rows)
        fields.append(field(name, column.type))
        columns.append(column)
    for computed in mapping.expression:
        column = _computed(computed, table)
        made, column = _as_stored(computed.name, column)
        fields.append(made)
        columns.append(column)
    done = pa.Table.from_arrays(columns, schema=pa.schema(fields))
    for name, kind in mapping.cast:
        done = _cast(done, name, kind)
    return done


def _computed(computed: Computed, table: "pa.Table") -> Any:
    where = f"mapping.expression.{computed.name}"
    try:
        value = compute(computed.expression, table)
        return value if isinstance(value, pa.ChunkedArray) else _repeated(value, table.num_rows)
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError, TypeError, AttributeError) as error:
        types = ", ".join(_types(computed, table)) or "the values written in it"
        raise ConfigError(
            f"{where} cannot be computed: no function takes these types ({types}); "
            "cast the field at the source, or use another function"
        ) from error
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    except pa.ArrowInvalid as error:
        raise _UnfitError(f"{where} cannot be computed from this record") from error


def _types(computed: Computed, table: "pa.Table") -> Iterator[str]:
    for name in columns_of(computed.expression):
        yield f"{name} is {spelled(table.schema.field(name))}"


def _repeated(value: Any, rows: int) -> Any:
    """A column of one value; a column is let through."""
    repeat: Any = pa.repeat
    array = repeat(value, rows) if isinstance(value, pa.Scalar) else value
    return pa.chunked_array([array], type=array.type)


def _as_stored(name: str, column: Any) -> tuple[Any, Any]:
    """A computed decimal travels as exact text, as every decimal does."""
    kind = column.type
    if not pa.types.is_decimal(kind):
        return field(name, kind), column
    digits = Digits(precision=kind.precision, scale=kind.scale)
    made = field(name, pa.string(), logical=Logical.DECIMAL, digits=digits)
    return made, column.cast(pa.string())


def _cast(table: "pa.Table", name: str, wanted: CastTo) -> "pa.Table":
    at = table.column_names.index(name)
    try:
        value = _converted(table, name, wanted)
    except pa.ArrowNotImplementedError as error:
        held = spelled(table.schema.field(name))
        raise ConfigError(
            f"mapping.cast.{name}: {held} cannot become {wanted}; leave the cast out"
        ) from error
    except pa.ArrowInvalid as error:
        raise _UnfitError(f"mapping.cast.{name}: the value is no {wanted}") from error
    made, column = _as_stored(name, value)
    return table.set_column(at, made, column)


def _converted(table: "pa.Table", name: str, wanted: CastTo) -> Any:
    held = table.schema.field(name)
    if wanted.kind is Kind.TEXT:
        return table.column(name).cast(pa.string())
    value = table.column(name) if _is_loose_text(held, wanted) else loaded(table, name)
    if pa.types.is_string(value.type):
        value = pc.utf8_trim_whitespace(value)
    kind = _arrow_type(wanted)
    cuts = pa.types.is_timestamp(value.type) and pa.types.is_date32(kind)
    if pa.types.is_temporal(kind) and pa.types.is_integer(value.type):
        raise pa.ArrowNotImplementedError("a number is no time")
    return value.cast(kind, safe=not cuts)


def _is_loose_text(held: Any, wanted: CastTo) -> bool:
    """A decimal is bounded by what it is cast to, not by what it was."""
    return wanted.kind is Kind.DECIMAL and logical_of(held) is Logical.DECIMAL


def _arrow_type(wanted: CastTo) -> Any:
    if wanted.kind is Kind.DECIMAL:
        return pa.decimal128(wanted.precision, wanted.scale)
    kinds = {
        Kind.INTEGER: pa.int64(),
        Kind.FLOAT: pa.float64(),
        Kind.BOOLEAN: pa.bool_(),
        Kind.DATE: pa.date32(),
        Kind.TIMESTAMP: pa.timestamp("us"),
        Kind.TIMESTAMPTZ: pa.timestamp("us", "UTC"),
    }
    return kinds[wanted.kind]

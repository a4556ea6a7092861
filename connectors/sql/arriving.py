"""Arriving Arrow data, in the few types that tables have.

Law: a value is converted only where nothing of it is lost; where something would be,
`ConfigError` names the column.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from connectors.arrow import DataType, Field, Logical, field, storage
from connectors.described import DescribedSchema, Schema
from connectors.errors import ConfigError
from connectors.late import pa


@cache
def _plain() -> Mapping[DataType, Any]:
    return {
        pa.float16(): pa.float32(),
        pa.large_string(): pa.string(),
        pa.string_view(): pa.string(),
        pa.large_binary(): pa.binary(),
        pa.binary_view(): pa.binary(),
        pa.time32("s"): pa.time64("us"),
        pa.time32("ms"): pa.time64("us"),
        pa.time64("ns"): pa.time64("us"),
        pa.date64(): pa.date32(),
    }


def plain_schema(schema: Schema) -> Schema:
    """The schema in types that tables have; columns of nothing but NULL are left out."""
    # What is only described is so because a database has it.
    return schema if isinstance(schema, DescribedSchema) else _plain_schema(schema)


def _plain_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([plain_field(one) for one in schema if not pa.types.is_null(one.type)])


def plain_field(one: Field) -> Field:
    """The field in a type that tables have."""
    if isinstance(one.type, pa.JsonType):
        return field(one.name, pa.string(), nullable=one.nullable, logical=Logical.JSON)
    if isinstance(one.type, pa.UuidType):
        return field(one.name, pa.string(), nullable=one.nullable, logical=Logical.UUID)
    kind = _plain_type(storage(one.type))
    if kind is None:
        return field(one.name, pa.string(), nullable=one.nullable, logical=Logical.JSON)
    if pa.types.is_duration(kind):
        raise ConfigError(f"column {one.name!r} holds {one.type}, which no table can; leave it out")
    return one if kind.equals(one.type) else one.with_type(kind)


def _plain_type(kind: DataType) -> DataType | None:
    """None for nested types, which become JSON."""
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if pa.types.is_fixed_size_binary(kind):
        return pa.binary()
    if isinstance(kind, pa.TimestampType):
        return pa.timestamp("us", None if kind.tz is None else "UTC")
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        item = _plain_type(kind.value_type)
        if item is None or pa.types.is_list(item) or pa.types.is_null(item):
            return None
        return pa.list_(item)
    if pa.types.is_nested(kind):
        return None
    plain: DataType = _plain().get(kind, kind)
    return plain


def plain_table(data: pa.Table) -> pa.Table:
    """The data in the types of `plain_schema`."""
    schema = _plain_schema(data.schema)
    if schema.equals(data.schema):
        return data
    arrays = [plain_array(data.column(one.name), one) for one in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def plain_array(array: pa.ChunkedArray[Any], wanted: Field) -> pa.ChunkedArray[Any]:
    """One column in ``wanted``'s type."""
    kind = array.type
    if isinstance(kind, pa.UuidType):
        texts = [None if value is None else str(value) for value in array.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.string())])
    if isinstance(kind, pa.BaseExtensionType):
        chunks: list[Any] = array.chunks
        array = pa.chunked_array([chunk.storage for chunk in chunks], type=_any(kind.storage_type))
    if pa.types.is_nested(array.type) and pa.types.is_string(wanted.type):
        texts = [None if value is None else _json(value) for value in array.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.string())])
    return cast(array, wanted)


def _any(kind: DataType) -> Any:
    """The stubs know only types that are spelled out."""
    return kind


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def cast(array: pa.ChunkedArray[Any], wanted: Field) -> pa.ChunkedArray[Any]:
    """A cast that loses nothing; `ConfigError` names the column where it would."""
    if array.type.equals(wanted.type):
        return array
    try:
        return array.cast(wanted.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ConfigError(
            f"column {wanted.name!r} arrives as {array.type} with values that "
            f"{wanted.type} cannot hold exactly; leave it out or cast it at the source"
        ) from error

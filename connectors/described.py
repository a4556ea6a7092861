"""Columns as they are described before any value is read: without Arrow's library.

Law: a described field and its `arrow_field` mean the same. Whoever looks into values asks
for Arrow's; whoever hands raw bytes on, or only compares names and native types, need not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from connectors.late import pa

_LIST = "list<item: "
_LIST_OF = re.compile(r"(?:large_)?list<[^:]*: (.*)>")


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedField:
    """One column. ``storage`` is its Arrow type as Arrow spells it, ``metadata`` as Arrow has it.

    See `connectors.arrow` for what the metadata say.
    """

    name: str
    storage: str
    nullable: bool = True
    metadata: Mapping[bytes, bytes] | None = field(default=None, hash=False)

    @property
    def type(self) -> pa.DataType:
        """Arrow's type."""
        found: pa.DataType = _arrow_type(self.storage)
        return found

    def with_nullable(self, nullable: bool) -> DescribedField:
        """The same column, with or without NULL."""
        return self if nullable == self.nullable else replace(self, nullable=nullable)


@dataclass(frozen=True, slots=True)
class DescribedSchema:
    """Columns in their order."""

    fields: tuple[DescribedField, ...]

    @property
    def names(self) -> list[str]:
        """The columns' names."""
        return [one.name for one in self.fields]

    def field(self, name: str) -> DescribedField:
        """The column of that name; KeyError if there is none."""
        for one in self.fields:
            if one.name == name:
                return one
        raise KeyError(name)

    def __iter__(self) -> Iterator[DescribedField]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)


if TYPE_CHECKING:
    AnyField: TypeAlias = pa.Field[Any] | DescribedField
    Schema: TypeAlias = pa.Schema | DescribedSchema
else:
    AnyField = Schema = Any


def schema_of(fields: Iterable[AnyField]) -> Schema:
    """Described, if all of them are; else Arrow's."""
    found = tuple(fields)
    described = tuple(one for one in found if isinstance(one, DescribedField))
    if len(described) == len(found):
        return DescribedSchema(described)
    return pa.schema([arrow_field(one) for one in found])


def arrow_field(one: AnyField) -> pa.Field[Any]:
    """The field as Arrow's."""
    if not isinstance(one, DescribedField):
        return one
    metadata: Any = one.metadata
    return pa.field(one.name, one.type, nullable=one.nullable, metadata=metadata)


def arrow_schema(schema: Schema) -> pa.Schema:
    """The schema as Arrow's."""
    if not isinstance(schema, DescribedSchema):
        return schema
    return pa.schema([arrow_field(one) for one in schema])


def storage_of(one: AnyField) -> str:
    """A field's type as Arrow spells it."""
    return one.storage if isinstance(one, DescribedField) else str(one.type)


def same(one: AnyField, other: AnyField) -> bool:
    """Whether two fields are alike in everything but whether they take NULL."""
    if isinstance(one, DescribedField) and isinstance(other, DescribedField):
        mine, others = ((each.name, each.storage, each.metadata) for each in (one, other))
        return mine == others
    left, right = (arrow_field(each).with_nullable(True) for each in (one, other))
    return left.equals(right, check_metadata=True)


def listed(storage: str) -> str:
    """The spelling of a list of these."""
    return f"{_LIST}{storage}>"


def item_of(storage: str) -> str | None:
    """The spelling of what is in a list; None if it is none."""
    found = _LIST_OF.fullmatch(storage)
    return found[1] if found else None


@cache
def _arrow_type(storage: str) -> Any:
    item = item_of(storage)
    if item is not None:
        return pa.list_(_arrow_type(item))
    return _plain_types()[storage]


@cache
def _plain_types() -> Mapping[str, Any]:
    """The types that described columns have, by their spelling."""
    kinds = (
        *(pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.bool_()),
        *(pa.string(), pa.binary(), pa.date32(), pa.time64("us")),
        *(pa.timestamp("us"), pa.timestamp("us", "UTC")),
    )
    return {str(kind): kind for kind in kinds}

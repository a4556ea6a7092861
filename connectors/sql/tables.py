"""What a database says about its tables, in words that every dialect shares."""

from dataclasses import dataclass

from connectors.described import AnyField, Schema, schema_of
from connectors.sql.names import TableName


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: ``native`` is its type as the dialect spells it, ``field`` is its Arrow.

    ``built_in`` says that every server of the dialect knows the type.
    """

    name: str
    native: str
    nullable: bool
    field: AnyField
    built_in: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table or view. ``leading`` are the columns that an index starts with."""

    name: TableName
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    leading: frozenset[str] = frozenset()
    is_view: bool = False

    @property
    def schema(self) -> Schema:
        """All columns, with their native types."""
        return schema_of(column.field for column in self.columns)

    def column(self, name: str) -> Column | None:
        """The column of exactly that name, if there is one."""
        return next((column for column in self.columns if column.name == name), None)

"""How arriving columns become those of a table behind PostgREST, which is asked what it has.

Laws: no column is made here, so one that is missing is told with the statement that makes
it; and a type that only PostgreSQL knows is not compared: it takes what arrives, or refuses.
"""

from __future__ import annotations

from connectors.arrow import Logical, evolved, field
from connectors.contract import Target
from connectors.described import AnyField, Schema, arrow_schema, schema_of
from connectors.errors import ConfigError
from connectors.http.client import HttpClient
from connectors.late import pa
from connectors.providers.supabase_table import DELETED_AT
from connectors.providers.supabase_tables import Table, tables
from connectors.schema_policy import SchemaPolicy, Shape, refuse_vanished, shaped
from connectors.sql.arriving import plain_schema
from connectors.sql.names import TableName, quoted

_TYPES = {
    "integer": "bigint",
    "float": "double precision",
    "binary": "bytea",
    "list": "json",
    "decimal": "numeric",
}
"""PostgreSQL's types for the words that end a variant's name, where it calls them otherwise."""


class Shaper:
    """One target's columns, under its schema policy; does nothing where it has none."""

    def __init__(self, client: HttpClient, target: Target) -> None:
        self._client = client
        self._target = target
        self._arrived: pa.Schema = pa.schema([])
        self._shapes: dict[pa.Schema, Shape] = {}
        first = arrow_schema(plain_schema(target.schema))
        if target.schema_policy is SchemaPolicy.FREEZE:
            refuse_vanished(self._present(first), first, ours=(DELETED_AT,))
        self.first = self._shape(first).schema(first) if target.shapes else first

    def table(self, data: pa.Table) -> pa.Table:
        """Records in the columns that are written; `ConfigError` for what cannot be."""
        return self._shape(data.schema).table(data) if self._target.shapes else data

    def _shape(self, arriving: pa.Schema) -> Shape:
        known = self._shapes.get(arriving)
        if known is not None:
            return known
        present = self._present(arriving)
        comparable = _comparable(arriving)
        shape = shaped(
            present,
            self._arrived,
            comparable,
            policy=self._target.schema_policy,
            on_conflict=self._target.on_conflict,
            fixed=self._target.fixed,
        )
        self._require_variants(shape, present)
        self._arrived = arrow_schema(evolved(self._arrived, shape.schema(comparable)))
        self._shapes[arriving] = shape
        return shape

    def _present(self, arriving: pa.Schema) -> pa.Schema:
        """The table's columns; those that cannot be compared are as they arrive."""
        found = [one for one in tables(self._client, self._target.dataset) if self._is_it(one)]
        if not found:
            raise ConfigError(
                f"the API shows no table {self._target.dataset}.{self._target.table}, so its "
                f"columns cannot be compared; create it with the columns "
                f"{', '.join(arriving.names)} and the primary key "
                f"({', '.join(self._target.primary_key)})"
            )
        (table,) = found
        fields = []
        for column in table.columns:
            opaque = column.name in table.opaque and column.name in arriving.names
            fields.append(_comparable(arriving).field(column.name) if opaque else column.field)
        return pa.schema(fields)

    def _is_it(self, table: Table) -> bool:
        return table.name == self._target.table

    def _require_variants(self, shape: Shape, present: pa.Schema) -> None:
        for name, variant in shape.moved.items():
            if variant not in present.names:
                word = variant.rpartition("__")[2]
                table = TableName(schema=self._target.dataset, table=self._target.table)
                raise ConfigError(
                    f"column {name!r} does not hold what arrives, and its variant is not there. "
                    "Through its API nothing is created; run this once: alter table "
                    f"{table.sql} add column {quoted(variant)} {_TYPES.get(word, word)};"
                )


def _comparable(schema: Schema) -> pa.Schema:
    """Lists are JSON in an API."""
    return arrow_schema(schema_of(_json(one) for one in arrow_schema(schema)))


def _json(one: AnyField) -> AnyField:
    is_list = pa.types.is_list(one.type)
    return field(one.name, pa.string(), logical=Logical.JSON) if is_list else one

"""A Supabase project as the suites see it: ours through its API, theirs by SQL."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

import psycopg
import pyarrow as pa
from psycopg.rows import dict_row

from connectors.arrow import Logical, logical_of
from connectors.contract import (
    Batch,
    Destination,
    Encoding,
    Source,
    Target,
    Writer,
)
from connectors.errors import ConfigError
from connectors.http.outside import Outside
from connectors.providers.supabase import SupabaseConfig, api_of
from connectors.providers.supabase_destination import SupabaseDestination
from connectors.providers.supabase_source import SupabaseSource
from connectors.schema_policy import SchemaPolicy
from connectors.sql.arriving import plain_schema
from connectors.testing.fake_api import FakeApi
from connectors.testing.rows import Row
from tests.providers.postgrest import KEY, Project

T = TypeVar("T")

ORDERS = "CREATE TABLE {}orders (id bigint PRIMARY KEY, changed_at timestamptz, note text)"
STATES = """CREATE TABLE shop._sync_state (
  owner text, stream text, execution text, finished boolean, version integer, value text,
  counts text, committed_at timestamptz, token text, primary key (owner, stream));
  CREATE TABLE shop._rejected (id text primary key, owner text, stream text, key text,
  reason text, payload text, execution text, rejected_at timestamptz)"""


def config(api: FakeApi, **more: object) -> dict[str, object]:
    usual = {"url": api.url, "key": KEY, "allow_private_addresses": True}
    return {**usual, "cursor_fields": ["updated_at", "changed_at"], **more}


class Base:
    """A project with nothing in it."""

    stream = "orders"

    def __init__(self, api: FakeApi, url: str, **how: Any) -> None:
        self.project = Project(api, url, **how)
        self.project.run("DROP SCHEMA IF EXISTS shop CASCADE; DROP TABLE IF EXISTS orders CASCADE")
        self.project.run("CREATE SCHEMA shop")
        self.project.run(STATES)
        self.project.run(ORDERS.format(""))

    def put(self, rows: Sequence[Row]) -> None:
        for one in rows:
            self.store(one)

    def store(self, one: Row) -> None:
        with self.project.connect() as connection:
            connection.execute(
                """INSERT INTO orders VALUES (%s, %s, %s) ON CONFLICT (id) DO UPDATE
                   SET changed_at = excluded.changed_at, note = excluded.note""",
                [one.id, one.changed_at, one.note],
            )

    def drop(self, identity: int | str, moment: datetime | str) -> None:
        with self.project.connect() as connection:
            connection.execute("DELETE FROM orders WHERE id = %s", [identity])

    def open(self, outside: Outside | None = None) -> Source:
        """Three rows a page are asked for, and two are given."""
        asked = SupabaseConfig.model_validate(config(self.project.api, page_rows=3))
        spec = api_of(asked)
        return SupabaseSource(
            api=replace(spec, limits=replace(spec.limits, tries=2)),
            cursor_fields=asked.cursor_fields,
            page_rows=asked.page_rows,
            outside=outside or Outside(),
        )


TYPES = {
    "int8": "smallint",
    "int16": "smallint",
    "int32": "integer",
    "int64": "bigint",
    "uint64": "numeric",
    "float": "real",
    "double": "double precision",
    "bool": "boolean",
    "date32[day]": "date",
    "time64[us]": "time",
    "timestamp[us]": "timestamp",
    "timestamp[us, tz=UTC]": "timestamptz",
    "binary": "bytea",
}
LOGICAL = {Logical.DECIMAL: "numeric", Logical.JSON: "json", Logical.UUID: "uuid"}


class Prepared:
    """A destination whose tables somebody makes before anything is written to them."""

    def __init__(self, destination: SupabaseDestination, project: Project) -> None:
        self.destination = destination
        self.project = project

    def check(self) -> str:
        return self.destination.check()

    def encodings(self, target: Target) -> Sequence[Encoding]:
        return self.destination.encodings(target)

    def open(self, target: Target, encoding: Encoding) -> Writer:
        self.prepare(target, plain_schema(target.schema))
        writer = self.obeying(lambda: self.destination.open(target, encoding))
        return Preparing(writer, self, target)  # type: ignore[return-value]

    def prepare(self, target: Target, schema: Any) -> None:
        name = psycopg.sql.Identifier(target.dataset, target.table).as_string()
        keys = [psycopg.sql.Identifier(one).as_string() for one in target.primary_key]
        columns = {}
        for one in schema:
            kind = TYPES.get(str(one.type), "text")
            if pa.types.is_decimal(one.type):
                kind = "numeric"
            spelled = psycopg.sql.Identifier(one.name).as_string()
            columns[spelled] = LOGICAL.get(logical_of(one), kind)
        listed = ", ".join(f"{one} {kind}" for one, kind in columns.items())
        if keys:
            self.project.run(
                f"CREATE TABLE IF NOT EXISTS {name} ({listed}, _deleted_at timestamptz, "
                f"PRIMARY KEY ({', '.join(keys)}))"
            )
            if target.schema_policy is not SchemaPolicy.EVOLVE:
                return
            for one, kind in columns.items():
                self.project.run(f"ALTER TABLE {name} ADD COLUMN IF NOT EXISTS {one} {kind}")

    def obeying(self, work: Callable[[], T]) -> T:
        """Do what a refusal says is to be run once, and try again."""
        try:
            return work()
        except ConfigError as error:
            statement = re.search(r"run this once: (alter table .*? add column .*?;)", str(error))
            if statement is None:
                raise
            self.project.run(statement[1])
            return work()

    def read_table(self, dataset: str, table: str) -> pa.Table:
        return self.destination.read_table(dataset, table)

    def close(self) -> None:
        self.destination.close()


class Preparing:
    """A writer that makes columns before they arrive."""

    def __init__(self, writer: Writer, prepared: Prepared, target: Target) -> None:
        self.writer, self.prepared, self.target = writer, prepared, target

    def write(self, batch: Batch) -> None:
        assert isinstance(batch.data, pa.Table)
        self.prepared.prepare(self.target, plain_schema(batch.data.schema))
        self.prepared.obeying(lambda: self.writer.write(batch))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.writer, name)


class DestinationSystem(Base):
    def open(self, outside: Outside | None = None) -> Destination:  # type: ignore[override]
        spec = api_of(SupabaseConfig.model_validate(config(self.project.api)))
        spec = replace(spec, limits=replace(spec.limits, tries=2))
        destination = SupabaseDestination(api=spec, outside=outside or Outside())
        return Prepared(destination, self.project)  # type: ignore[return-value]

    def records(self, dataset: str, table: str) -> list[Mapping[str, Any]] | None:
        with psycopg.connect(self.project.url, row_factory=dict_row) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            name = psycopg.sql.Identifier(dataset, table)
            try:
                query = psycopg.sql.SQL("SELECT * FROM {}").format(name)
                found = connection.execute(query).fetchall()
            except psycopg.errors.UndefinedTable:
                return None
        for one in found:
            if one.get("_deleted_at", 0) is None:
                del one["_deleted_at"]
        return list(found)

    def tables(self) -> list[str]:
        with self.project.connect() as connection:
            query = "SELECT tablename FROM pg_tables WHERE schemaname = 'shop' ORDER BY 1"
            return [name for (name,) in connection.execute(query)]

    def drop(self, dataset: str, table: str) -> None:  # type: ignore[override]
        raise AssertionError("it is not asked for")

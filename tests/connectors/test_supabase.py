"""Supabase through its API: the contracts of a source and of a destination, and what is its own."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

import psycopg
import pyarrow as pa
import pytest
from psycopg.rows import dict_row

from connectors import registry
from connectors.arrow import Logical, logical_of
from connectors.contract import (
    Batch,
    Destination,
    Encoding,
    Selection,
    Source,
    SyncMode,
    Target,
    WriteMode,
    Writer,
)
from connectors.errors import AuthError, ConfigError, TransientError
from connectors.http.outside import Outside
from connectors.providers.supabase import SupabaseConfig, api_of
from connectors.providers.supabase_destination import SupabaseDestination
from connectors.providers.supabase_source import SupabaseSource
from connectors.sql.arriving import plain_schema
from connectors.sql.destination import SqlDestination
from connectors.testing.destination_suite import DestinationContract
from connectors.testing.fake_api import FakeApi, first
from connectors.testing.features import Feature
from connectors.testing.rows import Row, at, row, rows_of, table
from connectors.testing.source_suite import SourceContract
from connectors.testing.writing import UPSERT, put, seen, state, stored, writing
from tests.connectors.test_woocommerce import WooProvider
from tests.providers.laws import Place, World, prove
from tests.providers.postgrest import FAULTS, KEY, Project, done_but_unheard, timed_out

ORDERS = "CREATE TABLE {}orders (id bigint PRIMARY KEY, changed_at timestamptz, note text)"
STATES = """CREATE TABLE shop._sync_state (
  owner text, stream text, execution text, finished boolean, version integer, value text,
  counts text, committed_at timestamptz, token text, primary key (owner, stream))"""


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


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with FakeApi() as api:
        yield api


@pytest.fixture
def project(api: FakeApi, postgres_url: str) -> Project:
    return Base(api, postgres_url).project


class TestASource(SourceContract):
    def only_id(self, identity: int) -> str:
        return f"id=eq.{identity}"

    @pytest.fixture
    def system(self, api: FakeApi, postgres_url: str) -> Base:
        return Base(api, postgres_url, max_rows=2)


@pytest.mark.parametrize("mode", list(SyncMode))
def test_changes_faults_and_crashes_lose_nothing_of_a_table(api, postgres_url, mode):
    """R70, R152."""
    prove(
        api,
        lambda: Base(api, postgres_url, max_rows=2),
        mode=mode,
        examples=12,
        deletes=mode is SyncMode.FULL,
    )


# The destination

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
        writer = self.destination.open(target, encoding)
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
            for one, kind in columns.items():
                self.project.run(f"ALTER TABLE {name} ADD COLUMN IF NOT EXISTS {one} {kind}")

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
        self.writer.write(batch)

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


ONE_MODE = "through the API a project takes upserts only"
THEIRS = "tables and columns are made by who owns the project"
CANNOT = {
    "test_append": ONE_MODE,
    "test_replace": ONE_MODE,
    "test_one_writer_commits_many_times": ONE_MODE,
    "test_an_empty_source_does_not_empty": ONE_MODE,
    "test_what_is_written_as_a_whole": ONE_MODE,
    "test_a_column_is_widened": THEIRS,
    "test_a_type_that_no_column_can_take": THEIRS,
}
CASTS = {"bytes", "times of day", "short floats"}
"""Values whose type a list of rows in JSON no longer tells, although they are stored exactly."""


class TestADestination(DestinationContract):
    lacks: ClassVar = {
        Feature.DROP: THEIRS,
        Feature.NOT_A_NUMBER: "JSON knows no number that is none, so it is rejected when read",
        Feature.JSON_BYTES: "JSON inside of JSON is spelled anew when it is read",
        Feature.LISTS: "lists are read back as JSON",
    }

    @pytest.fixture(autouse=True)
    def only_what_it_can(self, request: pytest.FixtureRequest) -> None:
        """Visible reasons for what is skipped."""
        name, params = request.node.originalname, getattr(request.node, "callspec", None)
        for begins, reason in CANNOT.items():
            if name.startswith(begins):
                pytest.skip(reason)
        said = params.params if params else {}
        usual = said.get("usual")
        if usual is not None and (usual.write_mode is not WriteMode.UPSERT):
            pytest.skip(ONE_MODE)
        if "case" in said and said["case"].name in CASTS:
            pytest.skip("read back as text")

    @pytest.fixture
    def system(self, api: FakeApi, postgres_url: str) -> DestinationSystem:
        return DestinationSystem(api, postgres_url)


@pytest.mark.parametrize("mode", [SyncMode.INCREMENTAL])
def test_a_shop_s_orders_arrive_in_a_project_whatever_fails_on_either_side(api, postgres_url, mode):
    """R152: WooCommerce to Supabase, with faults and deaths in both."""

    def to(world: World) -> Place:
        system = DestinationSystem(theirs, postgres_url)
        outside = Outside(now=lambda: world.now, chance=lambda: 0.5, sleep=world.sleep)
        theirs.clock = lambda: world.now
        return Place(
            destination=system.open(outside),
            found=lambda: system.records("shop", "orders") or (),
            api=theirs,
            faults=FAULTS,
        )

    with FakeApi() as theirs:
        prove(api, lambda: WooProvider(api, "orders"), mode=mode, examples=12, deletes=False, to=to)


@pytest.fixture
def system(api: FakeApi, postgres_url: str) -> DestinationSystem:
    return DestinationSystem(api, postgres_url)


def test_what_is_already_there_is_not_sent_again(system):
    with closing(system.open()) as destination:
        put(destination, UPSERT, row(1), row(2), mark="one")
        system.project.writes.clear()
        put(destination, replace(UPSERT, execution="second"), row(1), row(2), mark="two")

    assert [request.places["table"] for request in system.project.writes] == ["_sync_state"]


def test_data_whose_state_was_not_moved_are_written_once_more_and_change_nothing(system):
    """A process that dies between the two begins again at the state before."""
    with closing(system.open()) as destination:
        put(destination, UPSERT, row(1), mark="one")
        second = replace(UPSERT, execution="second")
        with writing(destination, second) as writer:
            writer.write(Batch(data=table(row(2), row(3))))
            # The state is asked for, then rows, then they are written, and then it breaks.
            system.project.api.at(4, *[timed_out] * 9)
            with pytest.raises(TransientError):
                writer.commit(state("two"))
        system.project.api.calm()
        half = stored(system)
        with writing(destination, second) as writer:
            before = writer.committed.state
            writer.write(Batch(data=table(row(2), row(3))))
            writer.commit(state("two"), finished=True)

    assert half == stored(system) == [row(1), row(2), row(3)]
    assert before == state("one")


@pytest.mark.parametrize("nth", range(1, 7))
def test_an_answer_that_is_lost_is_no_harm(system, nth):
    """What was done is done again, and the state that is there is recognised as ours."""
    with closing(system.open(Outside(sleep=lambda seconds: None))) as destination:
        put(destination, UPSERT, row(1), mark="one")
        with writing(destination, replace(UPSERT, execution="second")) as writer:
            writer.write(Batch(data=table(row(1, seconds=5, note="changed"), row(2))))
            system.project.api.at(nth, done_but_unheard)
            done = writer.commit(state("two"), finished=True)

    assert done.state == state("two")
    assert stored(system) == [row(1, seconds=5, note="changed"), row(2)]


def test_a_state_that_somebody_moves_at_the_last_moment_is_not_overwritten(system):
    """R74."""
    theirs = "UPDATE shop._sync_state SET token = 'theirs'"
    with closing(system.open()) as destination:
        put(destination, UPSERT, row(1), mark="one")
        with writing(destination, replace(UPSERT, execution="second")) as writer:
            # The state is looked at, and then moved.
            system.project.api.at(2, first(lambda: system.project.run(theirs)))
            with pytest.raises(TransientError, match="was moved"):
                writer.commit(state("two"))

        assert seen(destination, replace(UPSERT, execution="third")).state == state("one")


def test_a_state_of_the_api_is_continued_by_the_database_and_back(system):
    """The state lies beside the data, in the same table of the same shape."""
    direct = registry.get("supabase").open_destination({"database": system.project.url})
    with closing(system.open()) as destination, closing(direct):
        put(destination, UPSERT, row(1), mark="one")
        assert isinstance(direct, SqlDestination)
        with writing(direct, replace(UPSERT, execution="second")) as writer:
            assert writer.committed.state == state("one")
        put(direct, replace(UPSERT, execution="second"), row(2), mark="two")

        with writing(destination, replace(UPSERT, execution="third")) as writer:
            assert writer.committed.state == state("two")


def test_a_table_that_is_missing_is_told_with_its_columns(api, project):
    destination = registry.get("supabase").open_destination(
        {"url": api.url, "key": KEY, "allow_private_addresses": True}
    )

    with pytest.raises(ConfigError, match=r"shop\.orders .* id, changed_at, note"):
        put(destination, UPSERT, row(1))
    destination.close()


def test_a_missing_state_table_is_told_with_the_statement_that_makes_it(api, project):
    project.run(ORDERS.format("shop.") + "; DROP TABLE shop._sync_state")
    destination = registry.get("supabase").open_destination(
        {"url": api.url, "key": KEY, "allow_private_addresses": True}
    )

    with pytest.raises(ConfigError, match=r"create table shop\._sync_state") as told:
        put(destination, UPSERT, row(1))

    said = str(told.value)
    project.run(said[said.index("create table") : said.index(");") + 2])
    put(destination, UPSERT, row(1))
    destination.close()


@pytest.mark.parametrize("mode", [WriteMode.APPEND, WriteMode.REPLACE])
def test_other_modes_are_refused_with_what_takes_them(system, mode):
    with closing(system.open()) as destination, pytest.raises(ConfigError, match="database"):
        destination.open(replace(UPSERT, write_mode=mode), Encoding.ARROW)


# The source


def read(source: Source, name: str, **how: Any) -> list[Batch]:
    selection = Selection(stream=source.stream(name), mode=SyncMode.FULL, **how)
    return list(source.read(selection, None, Encoding.ARROW))


def records(batches: Sequence[Batch]) -> list[dict[str, Any]]:
    tables = [batch.data for batch in batches if isinstance(batch.data, pa.Table)]
    return [one for data in tables for one in data.to_pylist()]


def test_columns_come_as_the_database_has_them(api, project):
    """Law 7."""
    project.run("DROP TABLE orders")
    project.run(
        """CREATE TABLE orders (id bigint PRIMARY KEY, "Größe, in cm" numeric(12, 4), tags text[],
           meta jsonb, at timestamptz, day date, local timestamp, x double precision, ok boolean);
           INSERT INTO orders VALUES (9223372036854775807, 12345678.1230, '{a,b}', '{"a": 1.10}',
           '2026-03-01T12:00:00.123456+02', '2026-03-01', '2026-03-01 12:00', 0.1, true)"""
    )
    source = registry.get("supabase").open_source(config(api))

    [found] = records(read(source, "orders"))

    assert found["id"] == 2**63 - 1
    assert found["Größe, in cm"] == "12345678.1230"
    assert (found["tags"], found["meta"]) == ('["a","b"]', '{"a":1.10}')
    assert found["at"].isoformat() == "2026-03-01T10:00:00.123456+00:00"
    assert found["local"] == datetime(2026, 3, 1, 12)  # noqa: DTZ001
    assert (found["x"], found["ok"], found["day"].isoformat()) == (0.1, True, "2026-03-01")
    source.close()


def test_a_key_of_several_columns_is_read_page_by_page(api, postgres_url):
    system = Base(api, postgres_url, max_rows=2)
    system.project.run(
        """DROP TABLE orders; CREATE TABLE orders
             (shop text, "no." int, changed_at timestamptz, PRIMARY KEY (shop, "no."));
           INSERT INTO orders SELECT 'a"(,) ' || n % 3, n, now() FROM generate_series(1, 9) n"""
    )
    with closing(system.open()) as source:
        found = records(read(source, "orders"))

    assert sorted(one["no."] for one in found) == list(range(1, 10))


def test_a_table_without_a_key_is_read_whole(api, postgres_url):
    system = Base(api, postgres_url, max_rows=2)
    system.project.run("ALTER TABLE orders DROP CONSTRAINT orders_pkey")
    with system.project.connect() as connection:
        for number in range(5):
            connection.execute(
                "INSERT INTO orders VALUES (%s, %s, 'twin')", [number // 2, at(number)]
            )
    with closing(system.open()) as source:
        assert source.stream("orders").primary_key == ()
        found = records(read(source, "orders"))

    assert len(rows_of(found)) == 5


def test_a_schema_that_is_not_exposed_is_told(api, project):
    source = registry.get("supabase").open_source(config(api, expose="hidden"))

    with pytest.raises(ConfigError, match="must be one of"):
        source.check()
    source.close()


def test_a_wrong_key_is_told_without_showing_it(api, project):
    source = registry.get("supabase").open_source(config(api, key="sb_secret_wrong"))

    with pytest.raises(AuthError) as told:
        source.check()

    assert "sb_secret_wrong" not in str(told.value)
    source.close()


def test_a_key_of_the_old_kind_is_sent_as_a_token_too():
    old, new = (
        api_of(SupabaseConfig.model_validate({"url": "https://x.supabase.co", "key": key})).auth
        for key in ("eyJ.a.b", "sb_secret_x")
    )

    assert old.key != new.key  # type: ignore[attr-defined]
    assert [name for name, _ in _signed(old)] == ["apikey", "Authorization"]
    assert [name for name, _ in _signed(new)] == ["apikey"]


def _signed(auth: Any) -> Any:
    from connectors.http.call import Call

    return auth.signer(None, Outside()).sign(Call(path=""), "https://x").headers


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"url": "https://x.supabase.co"}, "url and key"),
        ({"url": "x.supabase.co", "key": "k"}, "https://<ref>"),
        ({"database": "postgresql://u:p@x.pooler.supabase.com:6543/postgres"}, "5432"),
    ],
)
def test_a_configuration_that_cannot_work_is_told(given, told):
    with pytest.raises(ConfigError, match=told):
        registry.get("supabase").open_source(given)

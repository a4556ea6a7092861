"""What a database destination makes durable, for every dialect and every encoding."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import duckdb
import psycopg
import pyarrow as pa
import pytest
from pydantic import SecretStr

from connectors.arrow import Digits, Logical, Native, field, native_of
from connectors.contract import (
    Batch,
    Counts,
    Deletes,
    Encoding,
    Greatest,
    PgCopy,
    Rejection,
    State,
    Target,
    WriteMode,
    Writer,
)
from connectors.errors import ConfigError, ContractError, EmptySourceError, TransientError
from connectors.sql.config import DatabaseConfig, Dialect
from connectors.sql.destination import SqlDestination, open_destination
from connectors.sql.postgres.writer import PostgresStore

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)

ID = field("id", pa.int64(), native=Native(dialect="postgresql", type="bigint"))
NOTE = field("note", pa.string(), native=Native(dialect="postgresql", type="text"))
AT = field(
    "at",
    pa.timestamp("us", "UTC"),
    native=Native(dialect="postgresql", type="timestamp with time zone"),
)
SCHEMA = pa.schema([ID, NOTE, AT])

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """One destination database, written in one encoding, and looked into from outside."""

    url: str
    dataset: str
    encoding: Encoding

    @property
    def config(self) -> DatabaseConfig:
        return DatabaseConfig(url=SecretStr(self.url))

    def target(self, **changes: Any) -> Target:
        base = Target(
            owner="acme/orders",
            stream="orders",
            execution="first",
            dataset=self.dataset,
            table="orders",
            schema=SCHEMA,
            write_mode=WriteMode.UPSERT,
            primary_key=("id",),
            cursor_field="at",
        )
        return replace(base, **changes)

    def table(self, name: str = "orders") -> str:
        sqlite = self.config.dialect is Dialect.SQLITE
        return f'"{self.dataset}__{name}"' if sqlite else f'"{self.dataset}"."{name}"'

    def query(self, sql: str) -> list[Row]:
        """Ask the database itself, in a connection of its own."""
        if self.config.dialect is Dialect.POSTGRESQL:
            with psycopg.connect(self.config.conninfo, autocommit=True) as connection:
                cursor = connection.execute(sql.encode())
                return cursor.fetchall() if cursor.description else []
        if self.config.dialect is Dialect.SQLITE:
            with closing(sqlite3.connect(self.config.path, isolation_level=None)) as connection:
                return connection.execute(sql).fetchall()
        with duckdb.connect(self.config.path, config={"enable_external_access": "false"}) as duck:
            return duck.execute(sql).fetchall()

    def rows(self, columns: str = "id, note") -> list[Row]:
        return self.query(f"SELECT {columns} FROM {self.table()} ORDER BY 1, 2")

    def open(self, target: Target) -> Writer:
        return open_destination(self.config).open(target, self.encoding)

    def batch(
        self,
        rows: Sequence[Row],
        *,
        schema: pa.Schema = SCHEMA,
        state: State | None = None,
        rejected: tuple[Rejection, ...] = (),
    ) -> Batch:
        data = pa.Table.from_pylist(
            [dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema
        )
        if self.encoding is Encoding.ARROW:
            return Batch(data=data, state=state, rejected=rejected)
        return Batch(data=_copied(self.config, data), state=state, rejected=rejected)

    def sync(self, target: Target, *rows: Row, schema: pa.Schema = SCHEMA) -> Counts:
        """One whole execution that brings these rows."""
        with closing(self.open(target)) as writer:
            if rows:
                writer.write(self.batch(rows, schema=schema))
            return writer.commit(None, finished=True).counts


def _copied(config: DatabaseConfig, data: pa.Table) -> PgCopy:
    """The rows as the binary COPY of a table that holds them."""
    natives = [native_of(one) for one in data.schema]
    kinds = [native.type for native in natives if native is not None]
    columns = ", ".join(f'"{n}" {k}' for n, k in zip(data.column_names, kinds, strict=True))
    marks = ", ".join("%s" for _ in kinds)
    with psycopg.connect(config.conninfo) as connection:
        connection.execute(f"CREATE TEMPORARY TABLE made ({columns})".encode())
        rows = [tuple(row.values()) for row in data.to_pylist()]
        connection.cursor().executemany(f"INSERT INTO made VALUES ({marks})".encode(), rows)
        with connection.cursor().copy("COPY made TO STDOUT (FORMAT binary)") as copy:
            chunks = [bytes(chunk) for chunk in copy]
    return PgCopy(columns=tuple(data.column_names), chunks=iter(chunks))


HOUSES = ("postgresql-arrow", "postgresql-pgcopy", "sqlite-arrow", "duckdb-arrow")


@pytest.fixture(params=HOUSES)
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    dialect, _, encoding = str(request.param).partition("-")
    if dialect == "postgresql":
        url = request.getfixturevalue("postgres_url")
    else:
        url = f"{dialect}:///{tmp_path}/there.db"
    yield House(url=url, dataset=f"shop_{uuid4().hex[:8]}", encoding=Encoding(encoding))


@pytest.fixture
def postgres(postgres_url: str) -> House:
    """PostgreSQL written by Arrow, for what only it can do."""
    dataset = f"shop_{uuid4().hex[:8]}"
    return House(url=postgres_url, dataset=dataset, encoding=Encoding.ARROW)


def row(id: int | None, note: str | None, day: int | None = 0) -> Row:
    return id, note, None if day is None else NOW + day * DAY


def test_an_upsert_counts_created_updated_and_unchanged_exactly(house: House) -> None:
    """R60, R62, R107."""
    first = house.sync(house.target(), row(1, "a"), row(2, "b"), row(3, None))

    second = house.sync(
        house.target(execution="second"), row(1, "a"), row(2, "B", 1), row(4, "d"), row(3, None)
    )

    assert (first.processed, first.created, first.updated) == (3, 3, 0)
    assert (second.processed, second.created, second.updated) == (4, 1, 1)
    assert house.rows() == [(1, "a"), (2, "B"), (3, None), (4, "d")]


def test_an_older_version_never_overwrites_a_newer_one(house: House) -> None:
    """R67, R68."""
    house.sync(house.target(), row(1, "new", 5))

    counts = house.sync(house.target(execution="second"), row(1, "old", 4))

    assert counts.updated == 0
    assert house.rows() == [(1, "new")]


def test_a_version_of_the_same_age_that_differs_is_taken(house: House) -> None:
    house.sync(house.target(), row(1, "one", 5))

    counts = house.sync(house.target(execution="second"), row(1, "two", 5))

    assert counts.updated == 1
    assert house.rows() == [(1, "two")]


def test_a_version_is_taken_unless_it_is_older_or_the_very_same(house: House) -> None:
    """R60, R68: a version without a time has no place in the order, so only its words count."""
    versions = [(note, day) for note in ("here", "there") for day in (None, 1, 2)]
    pairs = [(old, new) for old in versions for new in versions]
    house.sync(house.target(), *(row(at, *old) for at, (old, _) in enumerate(pairs)))

    taken = house.target(execution="second")
    counts = house.sync(taken, *(row(at, *new) for at, (_, new) in enumerate(pairs)))

    older = [None not in (old[1], new[1]) and new[1] < old[1] for old, new in pairs]
    wanted = [old if is_older else new for (old, new), is_older in zip(pairs, older, strict=True)]
    changed = [one != old for one, (old, _) in zip(wanted, pairs, strict=True)]
    with closing(SqlDestination(house.config)) as destination:
        found = destination.read_table(house.dataset, "orders").sort_by("id").to_pylist()
    assert [(each["note"], each["at"]) for each in found] == [row(0, *one)[1:] for one in wanted]
    assert counts.updated == sum(changed)


@pytest.mark.parametrize(
    ("native", "first", "second"),
    [
        ("bigint", 1, 2),
        ("uuid", str(UUID(int=1)), str(UUID(int=2))),
        ("date", date(2026, 1, 1), date(2026, 1, 2)),
        ("timestamp with time zone", NOW, NOW + DAY),
        ("text", "a", "b"),
        ("numeric(4,2)", "1.00", "2.00"),
    ],
)
def test_keys_of_every_type_are_one_key_where_they_are_equal(
    postgres: House, native: str, first: object, second: object
) -> None:
    """R65: a key that comes twice is one record, and what comes without is rejected."""
    kinds: dict[str, pa.DataType] = {
        "bigint": pa.int64(),
        "date": pa.date32(),
        "timestamp with time zone": pa.timestamp("us", "UTC"),
    }
    logical = {"uuid": Logical.UUID, "numeric(4,2)": Logical.DECIMAL}.get(native)
    spelled = Native(dialect="postgresql", type=native)
    key = field("id", kinds.get(native, pa.string()), native=spelled, logical=logical)
    schema = pa.schema([key, NOTE, AT])
    target = postgres.target(schema=schema)
    postgres.sync(target, (first, "one", NOW), (second, "two", NOW), schema=schema)

    counts = postgres.sync(
        replace(target, execution="second"),
        (first, "old", NOW),
        (first, "new", NOW + DAY),
        (None, "lost", NOW),
        schema=schema,
    )

    assert (counts.created, counts.updated, counts.rejected) == (0, 1, 1)
    assert postgres.query(f"SELECT note FROM {postgres.table()} ORDER BY id") == [
        ("new",),
        ("two",),
    ]


@pytest.mark.parametrize("filled", [False, True])
def test_of_one_key_staged_twice_the_newest_wins_then_the_last(house: House, filled: bool) -> None:
    if filled:
        house.sync(house.target(), row(9, "there"))

    with closing(house.open(house.target(execution="second"))) as writer:
        writer.write(house.batch([row(1, "new", 2), row(1, "old", 1), row(2, "first", 1)]))
        writer.write(house.batch([row(2, "last", 1), row(3, "dated", 1), row(3, "undated", None)]))
        counts = writer.commit(None, finished=True).counts

    assert house.rows()[:3] == [(1, "new"), (2, "last"), (3, "dated")]
    assert (counts.processed, counts.created) == (6, 3)


@pytest.mark.parametrize("filled", [False, True])
def test_a_record_without_a_key_is_rejected_and_counted(house: House, filled: bool) -> None:
    """R65."""
    if filled:
        house.sync(house.target(), row(1, "a"))

    counts = house.sync(house.target(execution="second"), row(None, "lost"), row(2, "b"))

    assert (counts.processed, counts.created, counts.rejected) == (1, 1, 1)
    assert (2, "b") in house.rows()


def test_what_the_source_rejected_is_counted_with_what_was_written(house: House) -> None:
    """R65."""
    with closing(house.open(house.target())) as writer:
        writer.write(house.batch([row(1, "a")], rejected=(Rejection(key="7", reason="odd"),)))
        counts = writer.commit(None, finished=True).counts

    assert (counts.processed, counts.rejected) == (1, 1)
    assert counts.bytes > 0


def test_an_append_takes_each_version_of_a_record_once(house: House) -> None:
    """R70."""
    append = house.target(write_mode=WriteMode.APPEND)
    house.sync(append, row(1, "a", 1), row(2, "b", 2), row(3, "c", None))

    again = replace(append, execution="second")
    counts = house.sync(again, row(2, "b", 2), row(1, "A", 3), row(3, "c", None), row(4, "d", None))

    assert counts.created == 2
    assert sorted(house.rows()) == [(1, "A"), (1, "a"), (2, "b"), (3, "c"), (4, "d")]


def test_an_append_with_a_key_keeps_one_of_a_version_that_comes_twice_at_once(
    house: House,
) -> None:
    append = house.target(write_mode=WriteMode.APPEND)

    first = house.sync(append, row(1, "a", 1), row(1, "a", 1), row(1, "b", 2))
    more = replace(append, execution="second")
    second = house.sync(more, row(2, "c", 3), row(2, "c", 3), row(1, "b", 2))

    assert (first.created, second.created) == (2, 1)
    assert house.rows() == [(1, "a"), (1, "b"), (2, "c")]


def test_an_append_without_a_key_keeps_as_many_equal_rows_as_the_source_has(
    house: House,
) -> None:
    append = house.target(write_mode=WriteMode.APPEND, primary_key=())
    house.sync(append, row(1, "a", 1), row(2, "b", 2), row(2, "b", 2), row(3, None, None))

    again = replace(append, execution="second")
    counts = house.sync(
        again, row(2, "b", 2), row(2, "b", 2), row(2, "b", 2), row(4, "d", 3), row(3, None, None)
    )

    assert counts.created == 2
    assert house.rows() == [(1, "a"), (2, "b"), (2, "b"), (2, "b"), (3, None), (4, "d")]


def test_a_snapshot_append_adds_every_row_each_time(house: House) -> None:
    append = house.target(write_mode=WriteMode.APPEND, distinct=False)
    house.sync(append, row(1, "a"))

    counts = house.sync(replace(append, execution="second"), row(1, "a"))

    assert counts.created == 1
    assert house.rows() == [(1, "a"), (1, "a")]


@pytest.mark.parametrize(
    "whole",
    [{"write_mode": WriteMode.REPLACE}, {"write_mode": WriteMode.APPEND, "distinct": False}],
)
def test_what_is_written_as_a_whole_takes_one_commit_only(
    house: House, whole: dict[str, Any]
) -> None:
    with closing(house.open(house.target(**whole))) as writer:
        writer.write(house.batch([row(1, "a")]))

        with pytest.raises(ContractError, match="one commit"):
            writer.commit(State(version=1, value={}))


def test_a_replacement_swaps_the_whole_table(house: House) -> None:
    """R53."""
    whole = house.target(write_mode=WriteMode.REPLACE)
    house.sync(whole, row(1, "a"), row(2, "b"))

    counts = house.sync(replace(whole, execution="second"), row(2, "B"), row(3, "c"))

    assert counts.created == 2
    assert house.rows() == [(2, "B"), (3, "c")]


def test_a_replacement_is_seen_by_nobody_before_its_commit(house: House) -> None:
    """R64."""
    whole = house.target(write_mode=WriteMode.REPLACE)
    house.sync(whole, row(1, "a"))

    with closing(house.open(replace(whole, execution="second"))) as writer:
        writer.write(house.batch([row(2, "b")]))

        assert house.rows() == [(1, "a")]
    assert house.rows() == [(1, "a")]


def test_a_replacement_keeps_the_columns_that_only_the_destination_has(house: House) -> None:
    whole = house.target(write_mode=WriteMode.REPLACE)
    house.sync(whole, row(1, "a"))
    house.query(f"ALTER TABLE {house.table()} ADD COLUMN mine INTEGER")

    house.sync(replace(whole, execution="second"), row(2, "b"))

    assert house.rows("id, note, mine") == [(2, "b", None)]


def test_an_index_and_a_view_survive_a_replacement(house: House) -> None:
    whole = house.target(write_mode=WriteMode.REPLACE)
    house.sync(whole, row(1, "a"))
    view = house.table("seen")
    house.query(f"CREATE VIEW {view} AS SELECT note FROM {house.table()}")
    house.query(f"CREATE UNIQUE INDEX mine_{house.dataset} ON {house.table()} (note)")

    house.sync(replace(whole, execution="second"), row(2, "b"))

    assert house.query(f"SELECT note FROM {view}") == [("b",)]
    with pytest.raises(Exception, match=r"(?i)unique|duplicate"):
        house.query(f"INSERT INTO {house.table()} (id, note) VALUES (8, 'b')")


def test_grants_survive_a_replacement(postgres: House) -> None:
    whole = postgres.target(write_mode=WriteMode.REPLACE)
    postgres.sync(whole, row(1, "a"))
    role = f"reader_{uuid4().hex[:8]}"
    postgres.query(f"CREATE ROLE {role}")
    postgres.query(f"GRANT SELECT ON {postgres.table()} TO {role}")

    postgres.sync(replace(whole, execution="second"), row(2, "b"))

    privilege = f"SELECT has_table_privilege('{role}', '{postgres.table()}', 'SELECT')"
    assert postgres.query(privilege) == [(True,)]
    assert postgres.rows() == [(2, "b")]
    postgres.query(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_replaced_table_is_left_with_its_key_and_nothing_beside_it(postgres: House) -> None:
    whole = postgres.target(write_mode=WriteMode.REPLACE)
    for execution in ("first", "second", "third"):
        postgres.sync(replace(whole, execution=execution), row(1, "a"))

    tables = f"SELECT relname FROM pg_class WHERE relnamespace = '{postgres.dataset}'::regnamespace"
    assert postgres.query(f"{tables} AND relkind = 'r' ORDER BY 1") == [
        ("_sync_state",),
        ("orders",),
    ]
    key = f"SELECT count(*) FROM pg_index WHERE indrelid = '{postgres.table()}'::regclass"
    assert postgres.query(f"{key} AND indisprimary") == [(1,)]


def test_an_empty_source_does_not_empty_a_filled_table(house: House) -> None:
    """Refused for a replacement, and where missing records would be deleted."""
    whole = house.target(write_mode=WriteMode.REPLACE)
    house.sync(whole, row(1, "a"))

    with pytest.raises(EmptySourceError, match="allow empty"):
        house.sync(replace(whole, execution="second"))
    with pytest.raises(EmptySourceError, match="allow empty"):
        house.sync(house.target(complete=True, deletes=Deletes.HARD, execution="third"))

    assert house.rows() == [(1, "a")]


def test_an_empty_source_empties_where_that_is_allowed(house: House) -> None:
    whole = house.target(write_mode=WriteMode.REPLACE, allow_empty=True)
    house.sync(whole, row(1, "a"))

    house.sync(replace(whole, execution="second"))

    assert house.rows() == []


def test_an_empty_source_makes_an_empty_table(house: House) -> None:
    house.sync(house.target())

    assert house.rows('id, note, "at"') == []


def test_columns_are_added_and_widened_and_never_dropped(house: House) -> None:
    small = field("amount", pa.int16(), native=Native(dialect="postgresql", type="smallint"))
    large = field("amount", pa.int64(), native=Native(dialect="postgresql", type="bigint"))
    first = pa.schema([ID, small, NOTE])
    house.sync(house.target(schema=first, cursor_field=None), (1, 7, "a"), schema=first)

    second = pa.schema([ID, large, field("extra", pa.string(), native=NOTE_TYPE)])
    # Bytes of another type are not taken, so a widening column arrives as Arrow.
    counts = replace(house, encoding=Encoding.ARROW).sync(
        house.target(schema=second, cursor_field=None, execution="second"),
        (1, 7, None),
        (2, 2**40, "x"),
        schema=second,
    )

    assert (counts.created, counts.updated) == (1, 0)
    assert house.rows("id, amount, note, extra") == [(1, 7, "a", None), (2, 2**40, None, "x")]


NOTE_TYPE = Native(dialect="postgresql", type="text")


def test_a_later_batch_may_bring_columns_that_the_first_did_not(house: House) -> None:
    wide = pa.schema([*SCHEMA, field("extra", pa.string(), native=NOTE_TYPE)])
    target = house.target(schema=wide if house.encoding is Encoding.PGCOPY else SCHEMA)

    with closing(house.open(target)) as writer:
        writer.write(house.batch([row(1, "a")]))
        writer.write(house.batch([(*row(2, "b"), "more")], schema=wide))
        writer.commit(None, finished=True)

    assert house.rows("id, note, extra") == [(1, "a", None), (2, "b", "more")]


def test_a_type_that_no_type_holds_with_the_present_one_is_refused_with_a_remedy(
    house: House,
) -> None:
    house.sync(house.target(), row(1, "a"))
    number = pa.schema([ID, field("note", pa.int64()), AT])
    target = house.target(schema=number, execution="second")

    with pytest.raises(ConfigError, match=r"'note'.*new table"):
        replace(house, encoding=Encoding.ARROW).sync(target, (2, 2, NOW), schema=number)

    assert house.rows() == [(1, "a")]


def test_missing_records_are_marked_counted_and_cleared_when_they_return(house: House) -> None:
    soft = house.target(complete=True, deletes=Deletes.SOFT)
    house.sync(soft, row(1, "a"), row(2, "b"))

    gone = house.sync(replace(soft, execution="second"), row(2, "b"))
    marked = house.rows("id, _deleted_at IS NOT NULL")
    again = house.sync(replace(soft, execution="third"), row(2, "b"))
    back = house.sync(replace(soft, execution="fourth"), row(1, "a"), row(2, "b"))

    assert (gone.deleted, gone.updated, again.deleted) == (1, 0, 0)
    assert [(id, bool(mark)) for id, mark in marked] == [(1, True), (2, False)]
    assert (back.created, back.updated) == (0, 1)
    assert house.query(f"SELECT count(*) FROM {house.table()} WHERE _deleted_at IS NULL") == [(2,)]


def test_missing_records_are_deleted_though_the_read_was_committed_in_parts(house: House) -> None:
    hard = house.target(complete=True, deletes=Deletes.HARD)
    house.sync(hard, row(1, "a"), row(2, "b"), row(3, "c"))

    with closing(house.open(replace(hard, execution="second"))) as writer:
        writer.write(house.batch([row(1, "a")]))
        writer.commit(State(version=1, value={"watermark": "1"}))
        writer.write(house.batch([row(3, "C", 1)]))
        writer.commit(State(version=1, value={"watermark": "2"}))
        counts = writer.commit(None, finished=True).counts

    assert (counts.updated, counts.deleted) == (1, 1)
    assert house.rows() == [(1, "a"), (3, "C")]


def test_missing_records_stay_when_the_read_was_not_complete(house: House) -> None:
    house.sync(house.target(), row(1, "a"), row(2, "b"))

    counts = house.sync(
        house.target(execution="second", deletes=Deletes.HARD, complete=False), row(2, "b")
    )

    assert counts.deleted == 0
    assert house.rows() == [(1, "a"), (2, "b")]


def test_a_writer_whose_state_was_moved_commits_nothing(house: House) -> None:
    """R74, R75."""
    house.sync(house.target(), row(1, "a"))
    with (
        closing(house.open(house.target(execution="late"))) as late,
        closing(house.open(house.target(execution="early"))) as early,
    ):
        early.write(house.batch([row(2, "early")]))
        early.commit(State(version=1, value={"watermark": "early"}))
        late.write(house.batch([row(3, "late")]))

        with pytest.raises(TransientError):
            late.commit(State(version=1, value={"watermark": "late"}))

    assert house.rows() == [(1, "a"), (2, "early")]
    with closing(house.open(house.target(execution="next"))) as writer:
        assert writer.committed.state == State(version=1, value={"watermark": "early"})


def test_of_two_first_writers_that_both_have_staged_one_commits(house: House) -> None:
    """R74, R75."""
    with (
        closing(house.open(house.target(execution="one"))) as one,
        closing(house.open(house.target(execution="two"))) as two,
    ):
        one.write(house.batch([row(1, "one")]))
        two.write(house.batch([row(1, "two"), row(2, "two")]))
        one.commit(State(version=1, value={"watermark": "one"}))

        with pytest.raises(TransientError):
            two.commit(State(version=1, value={"watermark": "two"}))

    assert house.rows() == [(1, "one")]


def test_a_failed_commit_makes_the_writer_useless(house: House) -> None:
    with (
        closing(house.open(house.target(execution="one"))) as one,
        closing(house.open(house.target(execution="two"))) as two,
    ):
        one.commit(None, finished=True)
        with pytest.raises(TransientError):
            two.commit(None, finished=True)

        with pytest.raises(ContractError, match="open another"):
            two.write(house.batch([row(1, "a")]))


def test_an_execution_that_returns_after_its_finishing_commit_sees_it(house: House) -> None:
    """R56."""
    state = State(version=1, value={"watermark": "2026-05-01"})
    with closing(house.open(house.target())) as writer:
        writer.write(house.batch([row(1, "a")]))
        writer.commit(state)
        done = writer.commit(None, finished=True)

    with closing(house.open(house.target())) as returned:
        assert returned.committed == done
        assert returned.committed.finished
        assert returned.committed.state == state
        assert returned.committed.counts.created == 1
    with closing(house.open(house.target(execution="second"))) as fresh:
        assert not fresh.committed.finished
        assert fresh.committed.state == state
        assert fresh.committed.counts == Counts()


def test_counts_go_on_when_an_execution_that_died_returns(house: House) -> None:
    """R63."""
    with closing(house.open(house.target())) as writer:
        writer.write(house.batch([row(1, "a")]))
        writer.commit(State(version=1, value={"watermark": "1"}))
        writer.write(house.batch([row(2, "lost")]))

    with closing(house.open(house.target())) as returned:
        assert returned.committed.state == State(version=1, value={"watermark": "1"})
        returned.write(house.batch([row(1, "a"), row(2, "b")]))
        counts = returned.commit(None, finished=True).counts

    assert (counts.processed, counts.created, counts.updated) == (3, 2, 0)
    assert house.rows() == [(1, "a"), (2, "b")]


def test_a_writer_that_is_closed_without_a_commit_leaves_nothing(house: House) -> None:
    """R64."""
    with closing(house.open(house.target())) as writer:
        writer.write(house.batch([row(1, "a")]))

    destination = SqlDestination(house.config)
    with closing(destination), pytest.raises(ConfigError):
        destination.read_table(house.dataset, "orders")
    assert house.query(f"SELECT count(*) FROM {_states(house)}") == [(0,)]


def _states(house: House) -> str:
    sqlite = house.config.dialect is Dialect.SQLITE
    return '"_sync_state"' if sqlite else house.table("_sync_state")


def test_a_state_whose_table_is_gone_is_void(house: House) -> None:
    """R66."""
    with closing(house.open(house.target())) as writer:
        writer.write(house.batch([row(1, "a")]))
        writer.commit(State(version=1, value={"watermark": "1"}), finished=True)
    house.query(f"DROP TABLE {house.table()}")

    with closing(house.open(house.target())) as writer:
        assert writer.committed.state is None
        assert not writer.committed.finished
        writer.write(house.batch([row(1, "a")]))
        counts = writer.commit(None, finished=True).counts

    assert counts.created == 1
    assert house.rows() == [(1, "a")]


def test_a_state_that_somebody_spoilt_is_void_and_mended_by_the_next_commit(house: House) -> None:
    """R66, R152."""
    with closing(house.open(house.target())) as writer:
        writer.write(house.batch([row(1, "a")]))
        writer.commit(State(version=1, value={"watermark": "1"}), finished=True)
    house.query(f"UPDATE {_states(house)} SET value = 'no json', counts = '['")

    with closing(house.open(house.target(execution="second"))) as writer:
        spoilt = writer.committed.state
        writer.write(house.batch([row(1, "a"), row(2, "b")]))
        mended = writer.commit(State(version=1, value={"watermark": "2"}), finished=True)

    assert spoilt is None
    assert (mended.state, mended.counts.created) == (
        State(version=1, value={"watermark": "2"}),
        1,
    )


def test_a_restart_begins_at_the_beginning_but_goes_on_with_its_own_work(house: House) -> None:
    house.sync(house.target(), row(1, "a"))
    with closing(house.open(house.target(execution="second"))) as writer:
        writer.commit(State(version=1, value={"watermark": "9"}), finished=True)
    anew = house.target(execution="third", restart=True)

    with closing(house.open(anew)) as writer:
        begun = writer.committed.state
        writer.write(house.batch([row(2, "b")]))
        writer.commit(State(version=1, value={"watermark": "3"}))
    with closing(house.open(anew)) as writer:
        resumed = writer.committed.state

    assert begun is None
    assert resumed == State(version=1, value={"watermark": "3"})


def test_a_table_reads_back_as_it_was_written(house: House) -> None:
    house.sync(house.target(), row(1, "ü\n\"';--", 0), row(2**62, "", -40_000), row(3, None, None))

    with closing(open_destination(house.config)) as destination:
        table = destination.read_table(house.dataset, "orders").sort_by("id")

    assert table.column("id").to_pylist() == [1, 3, 2**62]
    assert table.column("note").to_pylist() == ["ü\n\"';--", None, ""]
    assert table.column("at").to_pylist() == [NOW, None, NOW - 40_000 * DAY]


def test_rich_types_keep_their_values_and_are_unchanged_the_second_time(
    house: House,
) -> None:
    """Law 7: decimals stay decimals, JSON and UUID stay byte for byte, NULL stays NULL."""
    schema = pa.schema(
        [
            field("id", pa.int32()),
            field("price", pa.string(), logical=Logical.DECIMAL, digits=PRICE),
            field("ratio", pa.string(), logical=Logical.DECIMAL),
            field("meta", pa.string(), logical=Logical.JSON),
            field("key", pa.string(), logical=Logical.UUID),
            field("paid", pa.bool_()),
            field("day", pa.date32()),
            field("clock", pa.time64("us")),
            field("local", pa.timestamp("us")),
            field("weight", pa.float64()),
            field("raw", pa.binary()),
            field("tags", pa.list_(pa.string())),
        ]
    )
    key = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    values: dict[str, list[Any]] = {
        "id": [1, 2],
        "price": ["1.10", None],
        "ratio": ["0.1000000000000000000000000000000000000000000001", None],
        "meta": ['{"a": 9007199254740993}', None],
        "key": [key, None],
        "paid": [True, None],
        "day": [NOW.date(), None],
        "clock": [NOW.time(), None],
        "local": [NOW.replace(tzinfo=None, microsecond=1), None],
        "weight": [0.1, None],
        "raw": [b"\x00\xff", None],
        "tags": [["a", None, "b"], None],
    }
    target = house.target(schema=schema, cursor_field=None)
    counts = []

    for execution in ("first", "second"):
        opened = open_destination(house.config).open(
            replace(target, execution=execution), Encoding.ARROW
        )
        with closing(opened) as writer:
            writer.write(Batch(data=pa.table(values, schema=schema)))
            counts.append(writer.commit(None, finished=True).counts)
    with closing(open_destination(house.config)) as destination:
        table = destination.read_table(house.dataset, "orders")

    assert [(one.created, one.updated) for one in counts] == [(2, 0), (0, 0)]
    for name in ("price", "ratio", "meta", "key", "paid", "day", "clock", "local", "weight", "raw"):
        assert table.column(name).to_pylist() == values[name], name


PRICE = Digits(precision=12, scale=2)


def test_a_not_a_number_in_a_decimal_is_kept_or_its_record_rejected(house: House) -> None:
    schema = pa.schema(
        [
            field("id", pa.int64()),
            field("price", pa.string(), logical=Logical.DECIMAL, digits=PRICE),
        ]
    )
    target = house.target(schema=schema, cursor_field=None)

    with closing(open_destination(house.config).open(target, Encoding.ARROW)) as writer:
        data = pa.table({"id": [1, 2], "price": ["NaN", "2.50"]}, schema=schema)
        writer.write(Batch(data=data))
        counts = writer.commit(None, finished=True).counts

    rejects = house.config.dialect is Dialect.DUCKDB
    assert (counts.created, counts.rejected) == ((1, 1) if rejects else (2, 0))


def test_a_key_that_is_not_the_tables_is_refused(postgres: House) -> None:
    postgres.sync(postgres.target(), row(1, "a"))

    with pytest.raises(ConfigError, match=r"key \(id\).*\(note\)"):
        postgres.sync(postgres.target(primary_key=("note",), execution="second"), row(2, "b"))


def test_a_table_with_repeated_keys_cannot_be_upserted_into(postgres: House) -> None:
    append = postgres.target(write_mode=WriteMode.APPEND)
    postgres.sync(append, row(1, "a", 1), row(1, "b", 2))

    with pytest.raises(ConfigError, match="several rows for one"):
        postgres.sync(postgres.target(execution="second"), row(1, "c", 3))


def test_an_upsert_without_a_key_is_refused_before_anything_is_written(house: House) -> None:
    with pytest.raises(ConfigError, match="no primary key"):
        house.open(house.target(primary_key=()))


def test_the_greatest_staged_cursor_becomes_the_watermark(postgres: House) -> None:
    copy = replace(postgres, encoding=Encoding.PGCOPY)
    ceiling = (NOW + 3 * DAY).isoformat()
    marks = []

    for day, wanted in ((1, None), (9, ceiling), (2, None)):
        target = copy.target(execution=f"day {day}")
        with closing(copy.open(target)) as writer:
            writer.write(copy.batch([row(day, "x", day)]))
            mark = Greatest(column="at", version=1, ceiling=wanted)
            state = writer.commit(mark, finished=True).state
            marks.append(state and state.watermark)

    assert marks == [
        "2026-05-02T12:00:00.000000+00:00",
        "2026-05-04T12:00:00.000000+00:00",
        "2026-05-04T12:00:00.000000+00:00",
    ]


def test_a_record_that_is_there_moves_the_watermark_as_far_as_the_clock_allows(
    postgres: House,
) -> None:
    """It is dated in the future, and comes again unchanged."""
    copy = replace(postgres, encoding=Encoding.PGCOPY)
    marks = []

    for day in (1, 2):
        with closing(copy.open(copy.target(execution=f"day {day}"))) as writer:
            mark = Greatest(column="at", version=1, ceiling=(NOW + day * DAY).isoformat())
            writer.write(replace(copy.batch([row(1, "x", 9)]), state=mark))
            state = writer.commit(mark, finished=True).state
            marks.append(state and state.watermark)

    assert marks == ["2026-05-02T12:00:00.000000+00:00", "2026-05-03T12:00:00.000000+00:00"]


@pytest.mark.parametrize("encoding", Encoding)
def test_records_that_the_table_has_are_counted_and_neither_staged_nor_merged(
    postgres: House, encoding: Encoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = replace(postgres, encoding=encoding)
    house.sync(house.target(), row(1, "a", 0), row(2, None, 1))
    staged: list[object] = []
    monkeypatch.setattr(PostgresStore, "stage", lambda *told: staged.append(told))

    counts = house.sync(house.target(execution="second"), row(2, None, 1), row(1, "a", 0))

    assert (counts.processed, counts.created, counts.updated) == (2, 0, 0)
    assert staged == []


@pytest.mark.parametrize(
    "other", [row(2, "B", 1), row(2, None, 1), row(2, "b", 2), row(3, "b", 1), row(1, "b", 1)]
)
def test_one_record_that_is_new_or_other_is_written_beside_one_that_is_there(
    house: House, other: Row
) -> None:
    """R56: also if its time is the same as before."""
    house.sync(house.target(), row(1, "a", 0), row(2, "b", 1))

    counts = house.sync(house.target(execution="second"), row(1, "a", 0), other)

    assert counts.created + counts.updated == 1
    assert other[:2] in house.rows()


@pytest.mark.parametrize("encoding", Encoding)
def test_a_record_that_a_table_without_a_key_has_twice_does_not_stand_for_another(
    postgres: House, encoding: Encoding
) -> None:
    house = replace(postgres, encoding=encoding)
    house.sync(house.target(write_mode=WriteMode.REPLACE, primary_key=()), *[row(1, "a")] * 2)

    with closing(house.open(house.target(execution="second"))) as writer:
        writer.write(house.batch([row(1, "a"), row(2, "b")]))
        with pytest.raises(ConfigError, match="several rows for one"):
            writer.commit(State(version=1, value={}))


def test_a_record_that_was_removed_at_the_destination_is_written_again(house: House) -> None:
    house.sync(house.target(), row(1, "a"), row(2, "b"))
    house.query(f"DELETE FROM {house.table()} WHERE id = 2")

    counts = house.sync(house.target(execution="second"), row(2, "b"))

    assert counts.created == 1
    assert house.rows() == [(1, "a"), (2, "b")]


def test_a_record_that_comes_back_as_it_was_loses_the_mark_of_an_earlier_soft_delete(
    house: House,
) -> None:
    soft = house.target(complete=True, deletes=Deletes.SOFT)
    house.sync(soft, row(1, "a"), row(2, "b"))
    house.sync(replace(soft, execution="second"), row(2, "b"))

    counts = house.sync(house.target(execution="third"), row(1, "a"))

    assert counts.updated == 1
    assert house.rows("id, _deleted_at") == [(1, None), (2, None)]


def test_no_staged_row_leaves_the_watermark(postgres: House) -> None:
    copy = replace(postgres, encoding=Encoding.PGCOPY)

    with closing(copy.open(copy.target())) as writer:
        writer.write(copy.batch([]))
        committed = writer.commit(Greatest(column="at", version=1), finished=True)

    assert committed.state is None


def test_pgcopy_is_taken_only_where_no_column_needs_a_cast(postgres: House) -> None:
    with closing(open_destination(postgres.config)) as destination:
        before = destination.encodings(postgres.target())
        postgres.query(f'CREATE SCHEMA "{postgres.dataset}"')
        postgres.query(f"CREATE TABLE {postgres.table()} (id numeric, note text)")
        after = destination.encodings(postgres.target())

    assert list(before) == [Encoding.PGCOPY, Encoding.ARROW]
    assert list(after) == [Encoding.ARROW]
    with pytest.raises(ConfigError, match=r"'id' is .*use arrow"):
        replace(postgres, encoding=Encoding.PGCOPY).sync(postgres.target(), row(1, "a"))


def test_a_column_called_like_the_mark_of_soft_deletes_is_refused(house: House) -> None:
    schema = pa.schema([ID, field("_deleted_at", pa.string(), native=NOTE_TYPE)])
    target = house.target(schema=schema, cursor_field=None, complete=True, deletes=Deletes.SOFT)

    with pytest.raises(ConfigError, match="_deleted_at"):
        house.sync(target, (1, "x"), schema=schema)


def test_the_first_load_of_a_table_may_be_committed_in_parts(house: House) -> None:
    """R63."""
    with closing(house.open(house.target())) as writer:
        for part in range(3):
            writer.write(house.batch([row(part, "x"), row(part + 1, "y", 1)]))
            writer.commit(State(version=1, value={"watermark": str(part)}))
        counts = writer.commit(None, finished=True).counts

    assert (counts.processed, counts.created, counts.updated) == (6, 4, 0)
    assert house.rows() == [(0, "x"), (1, "y"), (2, "y"), (3, "y")]


class Killed(BaseException):
    """The process is no more."""


def _dies_after(monkeypatch: pytest.MonkeyPatch, store: type, statements: int) -> list[int]:
    """Let the process die right after so many statements were run; tells how many were."""
    ran = [0]

    def dying(name: str) -> Any:
        original = getattr(store, name)

        def call(self: Any, *arguments: Any) -> Any:
            result = original(self, *arguments)
            ran[0] += 1
            if ran[0] == statements:
                raise Killed
            return result

        return call

    for name in ("execute", "rows", "stage"):
        monkeypatch.setattr(store, name, dying(name))
    return ran


def _store_of(house: House) -> type:
    module = import_module(f"connectors.sql.{_MODULES[house.config.dialect]}.writer")
    store: type = getattr(module, f"{_MODULES[house.config.dialect].capitalize()}Store")
    return store


_MODULES = {
    Dialect.POSTGRESQL: "postgres",
    Dialect.SQLITE: "sqlite",
    Dialect.DUCKDB: "duckdb",
}
OLD = [row(1, "a", 1), row(2, "b", 1), row(3, "c", 1)]
NEW = [row(2, "b", 1), row(3, "C", 2), row(4, "d", 2)]
AFTER = {
    WriteMode.UPSERT: ([(2, "b"), (3, "C"), (4, "d")], (1, 1, 1)),
    WriteMode.APPEND: (
        [(1, "a"), (2, "b"), (3, "C"), (3, "c"), (4, "d")],
        (2, 0, 0),
    ),
    WriteMode.REPLACE: ([(2, "b"), (3, "C"), (4, "d")], (3, 0, 0)),
}


@pytest.mark.parametrize("mode", WriteMode)
def test_a_process_may_die_after_any_statement_and_nothing_is_lost_or_done_twice(
    house: House, mode: WriteMode
) -> None:
    """R56, R63, R64, R70."""
    rows, counts = AFTER[mode]
    deletes = Deletes.HARD if mode is WriteMode.UPSERT else Deletes.KEEP
    before = sorted(one[:2] for one in OLD)
    deaths = 0

    while True:
        here = replace(house, dataset=f"{house.dataset}_{deaths}")
        target = here.target(write_mode=mode, deletes=deletes, complete=True)
        here.sync(target, *OLD)
        again = replace(target, execution="second")
        with pytest.MonkeyPatch.context() as patch:
            ran = _dies_after(patch, _store_of(house), deaths + 1)
            with suppress(Killed):
                here.sync(again, *NEW)
        if ran[0] <= deaths:
            break
        deaths += 1
        seen = sorted(here.rows())
        with closing(here.open(again)) as writer:
            finished = writer.committed.finished
            done = writer.committed.counts
        if not finished:
            done = here.sync(again, *NEW)

        assert seen == (rows if finished else before)
        assert sorted(here.rows()) == rows
        assert (done.created, done.updated, done.deleted) == counts
        assert done.processed == 3

    assert deaths > 5


def test_a_connection_that_the_server_ends_leaves_nothing(postgres: House) -> None:
    """R93."""
    postgres.sync(postgres.target(), row(1, "a"))
    with closing(postgres.open(postgres.target(execution="second"))) as writer:
        writer.write(postgres.batch([row(2, "b")]))
        postgres.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

        with pytest.raises(TransientError):
            writer.commit(None, finished=True)

    assert postgres.rows() == [(1, "a")]


def test_a_state_of_another_cursor_does_not_stop_the_watermark(postgres: House) -> None:
    """R66."""
    copy = replace(postgres, encoding=Encoding.PGCOPY)
    with closing(copy.open(copy.target())) as writer:
        writer.commit(State(version=1, value={"watermark": "not a time"}), finished=True)

    with closing(copy.open(copy.target(execution="second"))) as writer:
        writer.write(copy.batch([row(1, "a")]))
        state = writer.commit(Greatest(column="at", version=1), finished=True).state

    assert state is not None
    assert state.watermark == "2026-05-01T12:00:00.000000+00:00"


def test_a_duckdb_schema_may_be_called_like_the_file(tmp_path: Path) -> None:
    url = f"duckdb:///{tmp_path}/shop.duckdb"
    house = House(url=url, dataset="shop", encoding=Encoding.ARROW)

    house.sync(house.target(), row(1, "a"))

    with duckdb.connect(str(tmp_path / "shop.duckdb")) as duck:
        assert duck.execute("SELECT id FROM shop.shop.orders").fetchall() == [(1,)]


def test_a_sqlite_table_that_is_widened_keeps_its_index_and_its_view(tmp_path: Path) -> None:
    house = House(url=f"sqlite:///{tmp_path}/a.db", dataset="shop", encoding=Encoding.ARROW)
    whole = pa.schema([ID, field("amount", pa.int64())])
    exact = pa.schema([ID, field("amount", pa.string(), logical=Logical.DECIMAL)])
    house.sync(house.target(schema=whole, cursor_field=None), (1, 7), schema=whole)
    house.query(f"CREATE INDEX mine ON {house.table()} (amount)")
    house.query(f"CREATE VIEW seen AS SELECT amount FROM {house.table()}")

    target = house.target(schema=exact, cursor_field=None, execution="second")
    house.sync(target, (2, "1.10"), schema=exact)

    assert house.query("SELECT amount FROM seen ORDER BY 1") == [("1.10",), ("7",)]
    assert house.query("SELECT count(*) FROM sqlite_master WHERE name = 'mine'") == [(1,)]


def test_a_stream_whose_table_is_gone_is_not_taken_for_finished(house: House) -> None:
    """R66: also where there is no position to lose."""
    target = house.target(write_mode=WriteMode.REPLACE, complete=True)
    with closing(house.open(target)) as writer:
        writer.write(house.batch([row(1, "a")]))
        writer.commit(None, finished=True)
    house.query(f"DROP TABLE {house.table()}")

    with closing(house.open(target)) as writer:
        assert not writer.committed.finished

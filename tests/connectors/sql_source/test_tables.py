"""What a source says of its tables, and of what it cannot do."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from sqlalchemy import make_url

from connectors.contract import Encoding, Selection, State, Stream, SyncMode
from connectors.described import arrow_schema, schema_of
from connectors.errors import AuthError, ConfigError, ConnectorError, TransientError
from connectors.registry import get
from tests.connectors.sql_source.database import (
    NOON,
    Database,
    full,
    ids,
    incremental,
    orders,
    rows,
)


def test_a_stream_says_what_a_table_is(database: Database):
    stream = orders(database, [NOON])

    assert stream.name == "t"
    assert stream.primary_key == ("id",)
    assert stream.cursor_field == "updated_at"
    assert stream.modes == set(SyncMode)
    assert stream.schema.names == ["id", "updated_at", "note"]
    assert "every time" in stream.note


def test_a_table_without_key_and_cursor_says_what_it_cannot_do(database: Database):
    database.run("CREATE TABLE t (a integer)")

    stream = database.stream()

    assert stream.primary_key == ()
    assert stream.modes == {SyncMode.FULL}
    assert "no primary key" in stream.note
    assert "full reads only" in stream.note


def test_a_view_is_a_stream(database: Database):
    orders(database, [NOON])
    database.run("CREATE VIEW v AS SELECT id, updated_at FROM t")

    with closing(database.source()) as source:
        names = [stream.name for stream in source.discover()]
        stream = source.stream("v")
    got = database.read(incremental(stream))

    assert names == ["t", "v"]
    assert ids(got) == [1]


def test_a_misspelled_table_is_answered_with_the_nearest(database: Database):
    database.run("CREATE TABLE customers (id integer)")

    with closing(database.source()) as source, pytest.raises(ConfigError) as caught:
        source.stream("custmers")

    assert "'custmers'" in str(caught.value)
    assert "did you mean 'customers'?" in str(caught.value)


def test_odd_names_keep_their_spelling(database: Database):
    database.run('CREATE TABLE "Odd.Name ""x" ("Id" integer, "order" text, "ü,;" text)')
    database.run("""INSERT INTO "Odd.Name ""x" VALUES (1, 'a', 'b')""")

    with closing(database.source()) as source:
        name = source.discover()[0].name
        stream = source.stream(name)
    got = database.read(full(stream))

    assert name == '"Odd.Name ""x"'
    assert rows(got) == [{"Id": 1, "order": "a", "ü,;": "b"}]


def test_only_selected_columns_are_read(database: Database):
    stream = orders(database, [NOON])
    chosen = schema_of([stream.schema.field("note"), stream.schema.field("id")])
    narrow = Stream(name="t", schema=chosen, primary_key=("id",))

    got = database.read(full(narrow))

    assert rows(got) == [{"note": "n", "id": 1}]


def test_a_column_that_is_gone_is_named(database: Database):
    stream = orders(database, [NOON])
    nota = pa.field("nota", pa.string())
    lost = Stream(name="t", schema=arrow_schema(stream.schema).append(nota))

    with pytest.raises(ConfigError, match="no column 'nota'; did you mean 'note'"):
        database.read(full(lost))


def test_a_filter_narrows_every_read_and_cannot_swallow_the_rest(database: Database):
    stream = orders(database, [NOON, NOON, NOON - timedelta(days=1)])
    state = State(version=1, value={"watermark": "2026-01-01T12:00:00"})

    got = database.read(incremental(stream, row_filter="id <> 1 OR id = 1 -- all"), state)
    one = database.read(full(stream, row_filter="id = 2"))

    assert sorted(ids(got)) == [1, 2]
    assert ids(one) == [2]


def test_a_broken_filter_is_the_tenants_to_mend(database: Database):
    stream = orders(database, [NOON])

    with pytest.raises(ConfigError):
        database.read(full(stream, row_filter="nothing = 1"))


def test_check_says_to_what_it_is_connected_without_the_password(database: Database):
    database.run("CREATE TABLE t (id integer)")

    with closing(database.source()) as source:
        told = source.check()

    assert told.startswith(("PostgreSQL 1", "SQLite 3", "DuckDB "))


def test_a_source_can_be_closed_twice_and_in_the_middle_of_a_read(database: Database):
    stream = orders(database, [NOON] * 50)
    source = database.source()

    reading = source.read(full(stream, batch_rows=5), None, Encoding.ARROW)
    next(reading)
    reading.close()  # type: ignore[attr-defined]
    again = list(source.read(full(stream), None, Encoding.ARROW))
    source.close()
    source.close()

    assert len(ids(again)) == 50


def test_connection_errors_are_told_by_what_to_do(postgres: Database, tmp_path: Path):
    def check(url: str) -> None:
        with closing(get("database").open_source({"url": url})) as source:
            source.check()

    here = make_url(postgres.url)
    unknown_database = here.set(database="nowhere_at_all")
    unknown_user = here.set(username="nobody_here", password="s3cret-word")
    (tmp_path / "text.db").write_text("not a database at all, only text" * 100)

    with pytest.raises(ConfigError, match="nowhere_at_all"):
        check(unknown_database.render_as_string(hide_password=False))
    with pytest.raises(AuthError) as refused:
        check(unknown_user.render_as_string(hide_password=False))
    with pytest.raises(TransientError):
        check("postgresql://someone:s3cret-word@127.0.0.1:1/postgres")
    with pytest.raises(ConfigError) as unreadable:
        check("postgresql://someone:s3cret-w%ord@127.0.0.1/postgres")
    for scheme in ("sqlite", "duckdb"):
        with pytest.raises(ConfigError, match="there is no file"):
            check(f"{scheme}:///{tmp_path}/missing.db")
        with pytest.raises(ConfigError, match="not a"):
            check(f"{scheme}:///{tmp_path}/text.db")
    assert "s3cret" not in str(refused.value) + str(unreadable.value)


def test_a_source_cannot_write(postgres: Database):
    postgres.run("CREATE TABLE t (id integer); CREATE SEQUENCE s; INSERT INTO t VALUES (1)")
    stream = postgres.stream()

    with pytest.raises(ConnectorError, match="read-only"):
        postgres.read(full(stream, row_filter="nextval('s') > 0"))


def test_an_error_in_the_middle_of_a_read_is_told_without_the_content(postgres: Database):
    postgres.run("CREATE TABLE t (id integer, secret text)")
    postgres.run("INSERT INTO t SELECT g, '7' FROM generate_series(1, 1000) g")
    postgres.run("INSERT INTO t VALUES (0, 'hidden-word')")

    with pytest.raises(ConnectorError) as caught:
        postgres.read(full(postgres.stream(), row_filter="secret::integer = 7"))

    assert "PostgreSQL" in str(caught.value)
    assert "hidden-word" not in str(caught.value)


def test_a_duckdb_schema_may_be_called_like_its_file(tmp_path):
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute('CREATE SCHEMA "shop"."shop"')
        connection.execute('CREATE TABLE "shop"."shop".orders AS SELECT range AS id FROM range(5)')

    with closing(get("database").open_source({"url": f"duckdb:///{path}"})) as source:
        batches = list(
            source.read(
                Selection(stream=source.stream("shop.orders"), mode=SyncMode.FULL),
                None,
                Encoding.ARROW,
            )
        )

    assert [len(batch.data) for batch in batches if isinstance(batch.data, pa.Table)] == [5]

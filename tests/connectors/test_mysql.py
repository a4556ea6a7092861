"""MySQL and MariaDB: types, orders and commits of their own, on a real MariaDB."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pytest

from connectors.arrow import Digits, Logical, digits_of, field, logical_of
from connectors.contract import (
    Batch,
    Committed,
    Encoding,
    Rejection,
    Selection,
    Source,
    SyncMode,
    WriteMode,
)
from connectors.errors import AuthError, ConfigError, ContractError, TransientError
from connectors.rejected import read_rejected
from connectors.sql.config import DatabaseConfig
from connectors.sql.mysql.session import MysqlSession
from connectors.sql.mysql.writer import MysqlStore
from connectors.sql.state import StateTable
from connectors.testing.rows import SCHEMA, row, table
from connectors.testing.writing import UPSERT, put, put_tables, state, writing
from sync_pipelines.runtime.waiting import wait_until
from tests.contract.mysql_system import Mariadb

pytest_plugins = ["tests.servers.stores"]

HARD = """
    id BIGINT UNSIGNED PRIMARY KEY, price DECIMAL(30,10), at DATETIME(6), seen TIMESTAMP(6) NULL,
    doc JSON, flag BIT(1), bits BIT(40), colour ENUM('red','blue'), sizes SET('s','m'),
    ratio FLOAT, tiny TINYINT(1), spent YEAR, raw VARBINARY(8), hour TIME(6), day DATE
"""


@pytest.fixture
def there(mariadb_server: str) -> Mariadb:
    return Mariadb(mariadb_server)


@pytest.fixture
def source(there: Mariadb) -> Iterator[Source]:
    with closing(there.source()) as source:
        yield source


def read(source: Source, name: str, mode: SyncMode = SyncMode.FULL, **changes: Any) -> list[Batch]:
    stream = replace(source.stream(name), **changes)
    return list(source.read(Selection(stream=stream, mode=mode), None, Encoding.ARROW))


def records(batches: list[Batch]) -> list[dict[str, Any]]:
    return [
        record for b in batches if isinstance(b.data, pa.Table) for record in b.data.to_pylist()
    ]


# Reading


def test_every_type_comes_exactly(there: Mariadb, source: Source) -> None:
    """R59: unsigned integers, decimals, times with and without a zone, JSON's own bytes."""
    there.run(f"CREATE TABLE hard ({HARD})")
    there.run(
        """INSERT INTO hard VALUES (18446744073709551615, 12345678901234567890.0123456789,
           '2024-02-29 23:59:59.999999', '2024-03-10 07:00:00.000001', '{"b": 1,  "a": 1.0}',
           b'1', b'1000000000000000000000000000000000000001', 'blue', 's,m', 16777216, -7, 2024,
           x'00FF', '23:59:59.999999', '0001-01-01')"""
    )

    [found] = records(read(source, "hard"))

    assert found == {
        "id": 2**64 - 1,
        "price": "12345678901234567890.0123456789",
        "at": datetime(2024, 2, 29, 23, 59, 59, 999999),  # noqa: DTZ001
        "seen": datetime(2024, 3, 10, 7, 0, 0, 1, UTC),
        "doc": '{"b": 1,  "a": 1.0}',
        "flag": True,
        "bits": 2**39 + 1,
        "colour": "blue",
        "sizes": "s,m",
        "ratio": 16777216.0,
        "tiny": -7,
        "spent": 2024,
        "raw": b"\x00\xff",
        "hour": time(23, 59, 59, 999999),
        "day": date(1, 1, 1),
    }
    schema = source.stream("hard").schema
    assert logical_of(schema.field("doc")) is Logical.JSON
    digits = digits_of(schema.field("price"))
    assert digits is not None
    assert (digits.precision, digits.scale) == (30, 10)


def test_a_date_with_zeros_and_a_time_of_days_reject_their_record(
    there: Mariadb, source: Source
) -> None:
    there.run("CREATE TABLE odd (id INT PRIMARY KEY, day DATE, hour TIME)")
    there.run("SET STATEMENT sql_mode = '' FOR INSERT INTO odd VALUES (1, '0000-00-00', NULL)")
    there.run("INSERT INTO odd VALUES (2, NULL, '100:00:00'), (3, '2024-01-01', '10:00:00')")

    batches = read(source, "odd")

    assert [record["id"] for record in records(batches)] == [3]
    rejected = [one for batch in batches for one in batch.rejected]
    assert [one.key for one in rejected] == ["1", "2"]
    assert "view" in rejected[0].reason


def test_a_text_cursor_is_compared_as_its_collation_does(there: Mariadb, source: Source) -> None:
    """What the server takes for equal comes again: no record hides behind another's case."""
    there.run("CREATE TABLE words (id INT PRIMARY KEY, word VARCHAR(9) COLLATE utf8mb4_general_ci)")
    there.run("INSERT INTO words VALUES (1, 'a'), (2, 'B')")
    stream = replace(source.stream("words"), cursor_field="word")
    selection = Selection(stream=stream, mode=SyncMode.INCREMENTAL)
    first = list(source.read(selection, None, Encoding.ARROW))[-1].state
    there.run("INSERT INTO words VALUES (3, 'b'), (4, 'A'), (5, 'c')")

    again = list(source.read(selection, first, Encoding.ARROW))  # type: ignore[arg-type]

    assert {record["id"] for record in records(again)} == {2, 3, 5}


def test_a_read_may_stop_in_the_middle_and_another_begin(there: Mariadb) -> None:
    there.make_orders(indexed=True)
    there.put([row(number, seconds=number) for number in range(50)])
    with closing(there.source()) as source:
        stream = replace(source.stream("orders"), primary_key=("id",))
        selection = Selection(stream=stream, mode=SyncMode.FULL, batch_rows=5)
        half = source.read(selection, None, Encoding.ARROW)
        next(half)

        whole = records(list(source.read(selection, None, Encoding.ARROW)))
        rest = records(list(half))

    assert (len(whole), len(rest)) == (50, 45)


def test_a_source_cannot_write_and_asks_for_no_file(there: Mariadb, mariadb_server: str) -> None:
    """A server that answers any query with "send me your file" gets none."""
    config = DatabaseConfig.model_validate({"url": there.url})
    with closing(MysqlSession(config, read_only=True)) as session:
        with pytest.raises(ConfigError, match="READ ONLY"):
            session.execute("CREATE TABLE mine (id INT)", "trying")

        connection: Any = session.connection
        assert connection._local_infile is False


# Writing


def test_a_table_that_ignores_case_takes_no_two_keys_for_one(there: Mariadb) -> None:
    there.run("CREATE DATABASE shop")
    there.run(
        """CREATE TABLE shop.orders (code VARCHAR(20) COLLATE utf8mb4_general_ci PRIMARY KEY,
           n BIGINT)"""
    )
    schema = pa.schema([field("code", pa.string()), field("n", pa.int64())])
    to = replace(UPSERT, schema=schema, primary_key=("code",), cursor_field=None)

    with closing(there.destination()) as destination:
        put_tables(destination, to, pa.table({"code": ["a", "b "], "n": [1, 2]}, schema=schema))
        for number, other in enumerate((["A"], ["c", "C"], ["b"])):
            with pytest.raises(ConfigError, match="case"):
                put_tables(
                    destination,
                    replace(to, execution=f"again {number}"),
                    pa.table({"code": other, "n": [3] * len(other)}, schema=schema),
                )

    assert there.records("shop", "orders") == [{"code": "a", "n": 1}, {"code": "b ", "n": 2}]


def test_a_new_table_tells_keys_apart_that_differ_only_in_case_or_spaces(there: Mariadb) -> None:
    schema = pa.schema([field("code", pa.string())])
    to = replace(UPSERT, schema=schema, primary_key=("code",), cursor_field=None)
    codes = ["", " ", "A", "a", "a ", "ä"]

    with closing(there.destination()) as destination:
        for execution in ("one", "two"):
            data = pa.table({"code": codes}, schema=schema)
            put_tables(destination, replace(to, execution=execution), data)

    assert sorted(record["code"] for record in there.records("shop", "orders")) == codes


def test_a_time_that_a_column_would_round_is_refused(there: Mariadb) -> None:
    there.run("CREATE DATABASE shop")
    there.run("CREATE TABLE shop.orders (id BIGINT PRIMARY KEY, changed_at TIMESTAMP, note TEXT)")

    with (
        closing(there.destination()) as destination,
        pytest.raises(ConfigError, match="would round its times"),
    ):
        put(destination, UPSERT, row(1))

    assert there.records("shop", "orders") == []


def test_a_crash_between_a_definition_and_its_data_does_not_revive_an_old_state(
    there: Mariadb,
) -> None:
    """A state whose table was dropped is void, and an empty new table does not change that."""
    with closing(there.destination()) as destination:
        put(destination, UPSERT, row(1), row(2), mark="two")
        there.drop("shop", "orders")
        second = replace(UPSERT, execution="second")
        dying = patch.object(MysqlStore, "upsert", side_effect=TransientError("power cut"))
        with dying, pytest.raises(TransientError, match="power"):
            put(destination, second, row(3), mark="three")
        left = there.records("shop", "orders")

        with writing(destination, second) as writer:
            before = writer.committed
        put(destination, second, row(1), row(2), row(3), mark="three")

    assert left == []
    assert before == Committed(execution="second")
    assert len(there.records("shop", "orders") or []) == 3


@pytest.mark.parametrize("mode", [WriteMode.APPEND, WriteMode.UPSERT])
def test_no_statement_needs_a_temporary_table_twice(there: Mariadb, mode: WriteMode) -> None:
    """MySQL cannot open one twice in a statement, where MariaDB can."""
    to = replace(UPSERT, write_mode=mode)
    twice = patch.object(MysqlStore, "_apart", MysqlStore.copied_apart)

    with twice, closing(there.destination()) as destination:
        put(destination, to, row(1), row(1), row(2))
        done = put(destination, replace(to, execution="second"), row(2), row(3), row(3))

    assert done.counts.created == 1
    assert sorted(record["id"] for record in there.records("shop", "orders")) == [1, 2, 3]


def test_what_is_no_number_rejects_its_record(there: Mariadb) -> None:
    bounded = field(
        "price", pa.string(), logical=Logical.DECIMAL, digits=Digits(precision=9, scale=2)
    )
    schema = pa.schema([field("id", pa.int64()), bounded, field("ratio", pa.float64())])
    to = replace(UPSERT, schema=schema, cursor_field=None)
    data = pa.table(
        {"id": [1, 2, 3], "price": ["NaN", "1.10", None], "ratio": [0.5, float("inf"), 1.5]},
        schema=schema,
    )

    with closing(there.destination()) as destination:
        done = put_tables(destination, to, data)

    assert (done.counts.processed, done.counts.rejected) == (1, 2)
    assert [record["id"] for record in there.records("shop", "orders")] == [3]


# Connections


def test_a_wrong_password_is_told_without_it(there: Mariadb) -> None:
    there.run("CREATE OR REPLACE USER 'sync'@'%%' IDENTIFIED BY 'right'")
    url = there.url.replace("root@", "sync:s3cret@")
    session = MysqlSession(DatabaseConfig.model_validate({"url": url}))

    with closing(session), pytest.raises(AuthError) as refused:
        session.version()

    assert "s3cret" not in str(refused.value)
    assert "sync@127.0.0.1" in str(refused.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://u:p@host", "mysql://user:password@host:3306/database"),
        ("mysql://u:p/q@host:x/db", "percent-encode"),
        ("mysql://u:p@host/db?ssl_ca=/etc/passwd", "tls=verify"),
    ],
)
def test_a_wrong_url_is_refused_without_being_quoted(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        DatabaseConfig.model_validate({"url": url})

    assert "u:p" not in str(refused.value)


def test_a_duplicate_is_told_without_the_value(there: Mariadb) -> None:
    there.run("CREATE TABLE one (secret VARCHAR(20) UNIQUE)")
    there.run("INSERT INTO one VALUES ('confidential')")
    session = MysqlSession(DatabaseConfig.model_validate({"url": there.url}))

    with closing(session), pytest.raises(ConfigError) as refused:
        session.execute("INSERT INTO one VALUES ('confidential')", "writing")

    assert "confidential" not in str(refused.value)


@pytest.mark.parametrize("keyless", [False, True])
def test_a_failed_commit_of_the_first_rejected_record_leaves_nothing(
    there: Mariadb, keyless: bool
) -> None:
    """R56: making the table ``_rejected`` commits here, so it comes before the data."""
    lost = pa.Table.from_pylist([{"id": None, "note": "lost"}], schema=SCHEMA)
    bad = () if keyless else (Rejection(key="7", reason="bad"),)
    data = pa.concat_tables([table(row(2)), lost]) if keyless else table(row(2))
    with closing(there.destination()) as destination:
        put(destination, UPSERT, row(1), mark="one")
        with (
            writing(destination, replace(UPSERT, execution="second")) as writer,
            patch.object(StateTable, "write", side_effect=TransientError("the server went away")),
        ):
            writer.write(Batch(data=data, rejected=bad))
            with pytest.raises(TransientError):
                writer.commit(state("two"), finished=True)
        left = [record["id"] for record in there.records("shop", "orders") or []]
        before = read_rejected(destination, "shop", owner=UPSERT.owner)

        with writing(destination, replace(UPSERT, execution="second")) as writer:
            writer.write(Batch(data=data, rejected=bad))
            writer.commit(state("two"), finished=True)

        assert (left, list(before)) == ([1], [])
        assert len(read_rejected(destination, "shop", owner=UPSERT.owner)) == 1
    assert len(there.records("shop", "orders") or []) == 2


def kill_sleepers(there: Mariadb) -> bool:
    """End all connections to the database, once each of them waits for a word."""
    listing = "SHOW PROCESSLIST"
    others = [
        record
        for record in there.run(listing)
        if record["db"] == there.database and record["Info"] != listing
    ]
    if not others or any(record["Command"] != "Sleep" for record in others):
        return False
    for record in others:
        there.run(f"KILL {record['Id']}")
    return True


def test_a_commit_on_a_killed_connection_leaves_nothing(there: Mariadb) -> None:
    with closing(there.destination()) as destination:
        put(destination, UPSERT, row(1), mark="one")
        with writing(destination, replace(UPSERT, execution="second")) as writer:
            writer.write(Batch(data=table(row(2))))
            assert wait_until(lambda: kill_sleepers(there), seconds=10)
            with pytest.raises((TransientError, ConfigError, ContractError)):
                writer.commit(state("two"), finished=True)

        with writing(destination, replace(UPSERT, execution="third")) as writer:
            assert writer.committed.state == state("one")

    assert [record["id"] for record in there.records("shop", "orders")] == [1]

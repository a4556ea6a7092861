"""MySQL and MariaDB written to: keys, values and columns of their own, on a real MariaDB."""

from contextlib import closing
from dataclasses import replace
from unittest.mock import patch

import pyarrow as pa
import pytest

from connectors.arrow import Digits, Logical, field
from connectors.contract import WriteMode
from connectors.errors import ConfigError
from connectors.sql.mysql.writer import MysqlStore
from connectors.testing.rows import row
from connectors.testing.writing import UPSERT, put, put_tables
from tests.contract.mysql_system import Mariadb

pytest_plugins = ["tests.servers.stores"]


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

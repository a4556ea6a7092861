"""MySQL and MariaDB read: types and orders of their own, on a real MariaDB."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import Any

import pyarrow as pa
import pytest

from connectors.arrow import Logical, digits_of, logical_of
from connectors.contract import Batch, Encoding, Selection, Source, SyncMode
from connectors.testing.rows import row
from tests.contract.mysql_system import Mariadb

pytest_plugins = ["tests.servers.stores"]

HARD = """
    id BIGINT UNSIGNED PRIMARY KEY, price DECIMAL(30,10), at DATETIME(6), seen TIMESTAMP(6) NULL,
    doc JSON, flag BIT(1), bits BIT(40), colour ENUM('red','blue'), sizes SET('s','m'),
    ratio FLOAT, tiny TINYINT(1), spent YEAR, raw VARBINARY(8), hour TIME(6), day DATE
"""


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

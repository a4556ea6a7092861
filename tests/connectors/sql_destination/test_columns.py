"""Columns, keys and types of the table: made, widened, refused."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from connectors.arrow import Digits, Logical, Native, field
from connectors.contract import Batch, Deletes, Encoding, WriteMode
from connectors.errors import ConfigError
from connectors.sql.config import Dialect
from connectors.sql.destination import open_destination
from tests.connectors.sql_destination.house import AT, DAY, ID, NOTE, NOW, SCHEMA, House, row


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


def test_a_table_reads_back_as_it_was_written(house: House) -> None:
    house.sync(house.target(), row(1, "ü\n\"';--", 0), row(2**62, "", -40_000), row(3, None, None))

    with closing(open_destination(house.config)) as destination:
        table = destination.read_table(house.dataset, "orders").sort_by("id")

    assert table.column("id").to_pylist() == [1, 3, 2**62]
    assert table.column("note").to_pylist() == ["ü\n\"';--", None, ""]
    assert table.column("at").to_pylist() == [NOW, None, NOW - 40_000 * DAY]


def test_rich_types_keep_their_values_and_are_unchanged_the_second_time(house: House) -> None:
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

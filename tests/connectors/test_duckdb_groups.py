"""Records wait until many are inserted at once: all of them arrive, and in order."""

from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from pydantic import SecretStr

from connectors.arrow import Digits, Logical, field
from connectors.contract import Batch, Counts, Encoding, Target, WriteMode
from connectors.errors import ConfigError
from connectors.sql.config import DatabaseConfig
from connectors.sql.destination import open_destination
from connectors.sql.duckdb import writer as duck
from connectors.sql.names import TableName
from connectors.sql.store import Planned, Staging

SCHEMA = pa.schema(
    [
        field("id", pa.int64()),
        field("note", pa.string()),
        field(
            "price",
            pa.string(),
            logical=Logical.DECIMAL,
            digits=Digits(precision=9, scale=2),
        ),
    ]
)


def write(path: Path, batches: list[list[tuple[int, str, str]]]) -> Counts:
    """Upsert the batches in one commit."""
    target = Target(
        owner="tenant/sync",
        stream="orders",
        execution="first",
        dataset="main",
        table="orders",
        schema=SCHEMA,
        write_mode=WriteMode.UPSERT,
        primary_key=("id",),
    )
    config = DatabaseConfig(url=SecretStr(f"duckdb:///{path}"))
    with (
        closing(open_destination(config)) as destination,
        closing(destination.open(target, Encoding.ARROW)) as writer,
    ):
        for rows in batches:
            columns = zip(*rows, strict=True)
            data = pa.table([pa.array(c) for c in columns], names=SCHEMA.names).cast(SCHEMA)
            writer.write(Batch(data=data))
        return writer.commit(None, finished=True).counts


def found(path: Path) -> list[tuple[object, ...]]:
    with duckdb.connect(str(path)) as connection:
        return connection.execute("SELECT id, note FROM orders ORDER BY rowid").fetchall()


@pytest.mark.parametrize("sizes", [(1, 1), (2, 2, 2, 2), (7, 1), (1, 7, 3, 4), (4, 4)])
def test_every_record_arrives_once_and_in_order_however_batches_and_groups_meet(
    sizes: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duck, "GROUP_ROWS", 4)
    numbers = iter(range(100))
    batches = [[(next(numbers), "a", "1.50") for _ in range(size)] for size in sizes]

    counts = write(tmp_path / "of.duckdb", batches)

    assert found(tmp_path / "of.duckdb") == [(n, "a") for n in range(sum(sizes))]
    assert counts.created == counts.processed == sum(sizes)


def test_the_last_of_equal_keys_wins_across_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duck, "GROUP_ROWS", 2)
    batches = [[(1, "old", "1"), (2, "b", "1")], [(3, "c", "1")], [(1, "new", "1")]]

    write(tmp_path / "of.duckdb", batches)

    assert sorted(found(tmp_path / "of.duckdb")) == [(1, "new"), (2, "b"), (3, "c")]


def test_a_record_that_cannot_be_held_is_rejected_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duck, "GROUP_ROWS", 2)
    batches = [[(1, "a", "1.50"), (2, "b", "NaN"), (3, "c", "2.50")], [(4, "d", "Infinity")]]

    counts = write(tmp_path / "of.duckdb", batches)

    assert found(tmp_path / "of.duckdb") == [(1, "a"), (3, "c")]
    assert (counts.processed, counts.rejected) == (2, 2)


def test_wide_records_do_not_wait_for_a_whole_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duck, "GROUP_BYTES", 1)
    held: list[int] = []
    stage = duck.DuckdbStore.stage

    def watched(self: duck.DuckdbStore, *args: object) -> Counts:
        counts = stage(self, *args)  # type: ignore[arg-type]
        held.append(len(self._waiting))
        return counts

    monkeypatch.setattr(duck.DuckdbStore, "stage", watched)

    write(tmp_path / "of.duckdb", [[(1, "a", "1")], [(2, "b", "1")]])

    assert held == [0, 0]
    assert found(tmp_path / "of.duckdb") == [(1, "a"), (2, "b")]


def test_inserting_leaves_duckdb_the_threads_it_had(tmp_path: Path) -> None:
    """What merges a large table has use for all of them."""
    store = duck.DuckdbStore(DatabaseConfig(url=SecretStr(f"duckdb:///{tmp_path}/of.duckdb")))
    asked = "SELECT current_setting('threads')"

    with closing(store):
        before = store.rows(asked)
        store.execute("CREATE TABLE orders (id SMALLINT)")
        plan = (Planned(name="id", type="SMALLINT", field=field("id", pa.int64())),)
        staging = Staging(name=TableName(schema="main", table="orders"), plan=plan, direct=True)
        store.stage(staging, pa.table({"id": [100_000]}))
        with pytest.raises(ConfigError, match="does not fit"):
            store.rows("SELECT 1")

        assert store.rows(asked) == before

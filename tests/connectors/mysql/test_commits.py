"""Commits that break off, on a server where making a table commits."""

from contextlib import closing
from dataclasses import replace
from unittest.mock import patch

import pyarrow as pa
import pytest

from connectors.contract import Batch, Committed, Rejection
from connectors.errors import TransientError
from connectors.rejected import read_rejected
from connectors.sql.mysql.writer import MysqlStore
from connectors.sql.state import StateTable
from connectors.testing.rows import SCHEMA, row, table
from connectors.testing.writing import UPSERT, put, state, writing
from sync_pipelines.runtime.waiting import wait_until
from tests.contract.mysql_system import Mariadb

pytest_plugins = ["tests.servers.stores"]


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
            with pytest.raises(TransientError):
                writer.commit(state("two"), finished=True)

        with writing(destination, replace(UPSERT, execution="third")) as writer:
            assert writer.committed.state == state("one")

    assert [record["id"] for record in there.records("shop", "orders")] == [1]

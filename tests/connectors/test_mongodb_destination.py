"""MongoDB as a destination: commits that fail, servers without transactions, and documents."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any
from unittest.mock import PropertyMock, patch

import pyarrow as pa
import pytest
from bson import Decimal128, ObjectId

from connectors.arrow import Digits, Logical, field
from connectors.contract import Batch, Encoding, Selection, SyncMode, WriteMode
from connectors.errors import ConfigError, TransientError
from connectors.mongodb.merging import Merge
from connectors.mongodb.session import MongoSession
from connectors.mongodb.state import StateDocument
from connectors.testing.rows import row, table
from connectors.testing.writing import APPEND, UPSERT, put, put_tables, seen, state, writing
from tests.contract.mongodb_system import Mongo

pytest_plugins = ["tests.servers.stores"]


@pytest.fixture
def there(mongodb_server: str) -> Iterator[Mongo]:
    system = Mongo(mongodb_server)
    yield system
    system.close()


def ids(there: Mongo) -> list[int]:
    return sorted(record["id"] for record in there.records("shop", "orders") or [])


@pytest.mark.parametrize("command", ["insert", "update", "commitTransaction"])
def test_a_commit_that_the_server_ends_leaves_nothing_and_goes_through_later(
    there: Mongo, command: str
) -> None:
    """R56, R64: data and state are there together, or not at all."""
    with closing(there.destination()) as destination:
        put(destination, UPSERT, row(1), mark="one")
        second = replace(UPSERT, execution="second")
        with writing(destination, second) as writer:
            writer.write(Batch(data=table(row(1, seconds=5, note="changed"), row(2))))
            _fail(there, command)
            with pytest.raises(TransientError):
                writer.commit(state("two"), finished=True)
            there.client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
        between = (ids(there), seen(destination, second).state)

        done = put(destination, second, row(1, seconds=5, note="changed"), row(2), mark="two")

    assert between == ([1], state("one"))
    assert (done.counts.created, done.counts.updated, done.state) == (1, 1, state("two"))
    assert ids(there) == [1, 2]


def _fail(there: Mongo, command: str) -> None:
    # The server ends the transaction: there is nothing that a driver could send again.
    data = {
        "failCommands": [command],
        "errorCode": 251,
        "errorLabels": ["TransientTransactionError"],
    }
    there.client.admin.command(
        {"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": data}
    )


@pytest.mark.parametrize("mode", [WriteMode.APPEND, WriteMode.UPSERT])
def test_without_transactions_a_crash_before_the_state_doubles_nothing(
    there: Mongo, mode: WriteMode
) -> None:
    """On a lone server the data comes first: what is written again is there once."""
    to = replace(UPSERT, write_mode=mode)
    lone = patch.object(
        MongoSession, "has_transactions", new_callable=PropertyMock, return_value=False
    )
    with lone, closing(there.destination()) as destination:
        dying = patch.object(StateDocument, "write", side_effect=TransientError("power cut"))
        with dying, pytest.raises(TransientError, match="power"):
            put(destination, to, row(1), row(2), mark="two")
        between = (ids(there), seen(destination, to).state)

        put(destination, to, row(1), row(2), mark="two")

        assert between == ([1, 2], None)
        assert ids(there) == [1, 2]
        assert seen(destination, to).state == state("two")


def test_a_crash_after_the_collection_was_made_does_not_revive_an_old_state(there: Mongo) -> None:
    with closing(there.destination()) as destination:
        put(destination, UPSERT, row(1), row(2), mark="two")
        there.drop("shop", "orders")
        dying = patch.object(Merge, "write", side_effect=TransientError("power cut"))
        with dying, pytest.raises(TransientError, match="power"):
            put(destination, replace(UPSERT, execution="second"), row(3), mark="three")

        found = seen(destination, replace(UPSERT, execution="third"))

    assert found.state is None


def test_keys_and_decimals_are_mongodbs_own(there: Mongo) -> None:
    price = field(
        "price", pa.string(), logical=Logical.DECIMAL, digits=Digits(precision=9, scale=2)
    )
    schema = pa.schema([field("shop", pa.string()), field("id", pa.int64()), price])
    to = replace(UPSERT, schema=schema, primary_key=("shop", "id"), cursor_field=None)
    data = pa.table({"shop": ["a", "b"], "id": [1, 1], "price": ["1.10", None]}, schema=schema)

    with closing(there.destination()) as destination:
        for execution in ("one", "two"):
            done = put_tables(destination, replace(to, execution=execution), data)

    assert list(there.database["shop.orders"].find()) == [
        {"_id": {"shop": "a", "id": 1}, "shop": "a", "id": 1, "price": Decimal128("1.10")},
        {"_id": {"shop": "b", "id": 1}, "shop": "b", "id": 1, "price": None},
    ]
    assert (done.counts.created, done.counts.updated) == (0, 0)


def test_a_collection_is_copied_with_its_object_ids(there: Mongo) -> None:
    known = [ObjectId() for _ in range(3)]
    there.database["from"].insert_many([{"_id": one, "n": n} for n, one in enumerate(known)])
    with closing(there.source()) as source, closing(there.destination()) as destination:
        stream = source.stream("from")
        batches = source.read(Selection(stream=stream, mode=SyncMode.FULL), None, Encoding.ARROW)
        to = replace(UPSERT, schema=stream.schema, primary_key=("_id",), cursor_field=None)
        tables: list[Any] = [batch.data for batch in batches]
        put_tables(destination, to, *tables)

    copied: list[Any] = [one["_id"] for one in there.database["shop.orders"].find()]
    assert sorted(copied) == sorted(known)


def test_a_name_that_no_document_can_have_is_refused(there: Mongo) -> None:
    schema = pa.schema([field("id", pa.int64()), field("a.b", pa.int64())])

    with closing(there.destination()) as destination, pytest.raises(ConfigError, match="rename it"):
        put_tables(
            destination,
            replace(APPEND, schema=schema, cursor_field=None),
            pa.table({"id": [1], "a.b": [2]}, schema=schema),
        )

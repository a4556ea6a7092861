"""MongoDB as a source: kinds of values, change streams, and what a failing server does."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from bson import Decimal128, Int64, ObjectId

from connectors.contract import (
    Batch,
    Committed,
    Deletes,
    Destination,
    Encoding,
    Selection,
    Source,
    State,
    SyncMode,
    Target,
)
from connectors.errors import ConfigError, TransientError
from connectors.mongodb.config import MongoConfig
from connectors.testing.writing import UPSERT, writing
from tests.contract.mongodb_system import Mongo

pytest_plugins = ["tests.servers.stores"]

MERGED = replace(UPSERT, primary_key=("_id",), cursor_field="_changed_at", deletes=Deletes.HARD)
AT = datetime(2024, 3, 1, 12, 0, 0, 123000, UTC)


@pytest.fixture
def there(mongodb_server: str) -> Iterator[Mongo]:
    system = Mongo(mongodb_server)
    yield system
    system.close()


@pytest.fixture
def watched(mongodb_server: str) -> Iterator[Mongo]:
    system = Mongo(mongodb_server, reading="changes")
    system.database["orders"].insert_many([{"_id": n, "n": n} for n in (1, 2)])
    yield system
    system.close()


def read(
    source: Source, name: str, state: State | None = None, mode: SyncMode = SyncMode.INCREMENTAL
) -> list[Batch]:
    selection = Selection(stream=source.stream(name), mode=mode)
    return list(source.read(selection, state, Encoding.ARROW))


def rows(batches: list[Batch]) -> list[dict[str, Any]]:
    return [row for b in batches if isinstance(b.data, pa.Table) for row in b.data.to_pylist()]


def state_of(batches: list[Batch]) -> State:
    state = batches[-1].state
    assert isinstance(state, State)
    return state


def test_every_kind_comes_exactly(there: Mongo) -> None:
    """R59."""
    identity = ObjectId()
    there.database["hard"].insert_one(
        {
            "_id": identity,
            "big": Int64(2**63 - 1),
            "price": Decimal128("1234567890.10"),
            "ratio": 0.1,
            "at": AT,
            "raw": b"\x00\xff",
            "inner": {"b": [1, Int64(2**53 + 1), {"id": identity}], "a": None},
            "yes": True,
            "words": "Größe",
        }
    )
    with closing(there.source()) as source:
        [found] = rows(read(source, "hard", mode=SyncMode.FULL))

    assert found == {
        "_id": str(identity),
        "big": 2**63 - 1,
        "price": "1234567890.10",
        "ratio": 0.1,
        "at": AT,
        "raw": b"\x00\xff",
        "inner": f'{{"b":[1,{2**53 + 1},{{"id":{{"$oid":"{identity}"}}}}],"a":null}}',
        "yes": True,
        "words": "Größe",
    }


def test_numbers_of_two_kinds_become_decimals_and_others_json(there: Mongo) -> None:
    there.database["mixed"].insert_many(
        [{"_id": 1, "n": 2**53 + 1, "v": "x"}, {"_id": 2, "n": 0.5, "v": 7}]
    )
    with closing(there.source()) as source:
        found = rows(read(source, "mixed", mode=SyncMode.FULL))

    assert [row["n"] for row in found] == [str(2**53 + 1), "0.5"]
    assert [row["v"] for row in found] == ['"x"', "7"]


def test_a_field_that_the_sample_lacks_is_one_more_column(mongodb_server: str) -> None:
    there = Mongo(mongodb_server, sample_documents=2)
    there.database["late"].insert_many([{"_id": n} for n in range(5)])
    there.database["late"].update_one({"_id": 2}, {"$set": {"rare": "kept"}})
    with closing(there), closing(there.source()) as source:
        found = rows(read(source, "late", mode=SyncMode.FULL))

    assert [row.get("rare") for row in found] == [None, None, "kept", None, None]


def test_a_value_of_another_kind_rejects_its_document_with_a_remedy(there: Mongo) -> None:
    there.config["fields"] = {"odd": {"n": "integer"}}
    there.database["odd"].insert_many([{"_id": 1, "n": 1}, {"_id": 2, "n": "confidential"}])
    with closing(there.source()) as source:
        batches = read(source, "odd", mode=SyncMode.FULL)

    [rejected] = [one for batch in batches for one in batch.rejected]
    assert [row["_id"] for row in rows(batches)] == [1]
    assert rejected.key == "2"
    assert "'n' is integer" in rejected.reason
    assert "confidential" not in rejected.reason


# Change streams


def test_a_change_stream_goes_on_from_its_token(watched: Mongo) -> None:
    """R55: what happens between two reads is seen by the second, and only that."""
    orders = watched.database["orders"]
    with closing(watched.source()) as source:
        first = read(source, "orders")
        orders.update_one({"_id": 1}, {"$set": {"n": 10}})
        orders.insert_one({"_id": 3, "n": 3})
        second = read(source, "orders", state_of(first))
        third = read(source, "orders", state_of(second))

    assert [row["_id"] for row in rows(first)] == [1, 2]
    assert [(row["_id"], row["n"]) for row in rows(second)] == [(1, 10), (3, 3)]
    assert rows(third) == []
    times = [row["_changed_at"] for row in (*rows(first), *rows(second))]
    assert times[0] < times[2] < times[3]


def test_a_change_stream_tells_what_is_deleted(watched: Mongo) -> None:
    orders = watched.database["orders"]
    with closing(watched.source()) as source:
        first = read(source, "orders")
        orders.insert_one({"_id": 3, "n": 3})
        orders.delete_many({"_id": {"$in": [1, 3]}})
        second = read(source, "orders", state_of(first))
        third = read(source, "orders", state_of(second))
        tells = source.stream("orders").tells_deletes

    assert tells
    assert [row["_id"] for row in rows(second)] == [3]
    assert gone(second) == [[1, 3]]
    assert gone(third) == []


def test_a_document_that_is_deleted_and_comes_back_is_there_in_the_end(watched: Mongo) -> None:
    orders = watched.database["orders"]
    second = replace(MERGED, execution="second")
    with closing(watched.source()) as source, closing(watched.destination()) as destination:
        first = read(source, "orders")
        move(destination, replace(MERGED, schema=source.stream("orders").schema), first)
        orders.delete_one({"_id": 1})
        orders.insert_one({"_id": 1, "n": 11})
        orders.delete_one({"_id": 2})
        later = read(source, "orders", state_of(first))
        done = move(destination, replace(second, schema=source.stream("orders").schema), later)

    assert gone(later) == [[1], [2]]
    assert later[0].state is None
    assert [(one["_id"], one["n"]) for one in watched.database["shop.orders"].find()] == [(1, 11)]
    assert done.counts.deleted == 1


def gone(batches: list[Batch]) -> list[list[Any]]:
    return [one.deleted.column("_id").to_pylist() for one in batches if one.deleted is not None]


def move(destination: Destination, to: Target, batches: list[Batch]) -> Committed:
    with writing(destination, to) as writer:
        for batch in batches:
            writer.write(batch)
        return writer.commit(state_of(batches), finished=True)


def test_a_change_during_the_first_read_is_not_lost(watched: Mongo) -> None:
    with closing(watched.source()) as source:
        selection = Selection(
            stream=source.stream("orders"), mode=SyncMode.INCREMENTAL, batch_rows=1
        )
        reading = source.read(selection, None, Encoding.ARROW)
        seen = [next(reading)]
        watched.database["orders"].update_one({"_id": 1}, {"$set": {"n": 10}})
        seen += reading
        later = read(source, "orders", state_of(seen))

    assert (1, 10) in [(row["_id"], row["n"]) for row in rows(later)]


def test_a_lost_history_is_read_anew(watched: Mongo) -> None:
    """Error 286: the server's log no longer goes back as far as the token."""
    orders = watched.database["orders"]
    with closing(watched.source()) as source:
        first = read(source, "orders")
        orders.insert_many([{"_id": n, "n": n} for n in range(100, 3000)])

        again = read(source, "orders", state_of(first))
        orders.insert_one({"_id": 5000, "n": 1})
        later = read(source, "orders", state_of(again))

    assert len(rows(again)) == 2902
    assert [row["_id"] for row in rows(later)] == [5000]


@pytest.mark.parametrize("token", ["no token", '{"_data": "zz"}'])
def test_a_token_that_nobody_understands_is_read_anew(watched: Mongo, token: str) -> None:
    with closing(watched.source()) as source:
        found = read(source, "orders", State(version=2, value={"token": token}))

    assert [row["_id"] for row in rows(found)] == [1, 2]


# Failures


@pytest.mark.parametrize("code", [11600, 91, 6])
def test_a_server_that_stops_in_the_middle_is_tried_again_later(there: Mongo, code: int) -> None:
    there.database["orders"].insert_many([{"_id": n} for n in range(5)])
    with closing(there.source()) as source:
        selection = Selection(stream=source.stream("orders"), mode=SyncMode.FULL, batch_rows=1)
        reading = source.read(selection, None, Encoding.ARROW)
        next(reading)
        _fail(there, ["getMore", "find"], code)
        with pytest.raises(TransientError, match="reading"):
            list(reading)
        _fail(there, [], 0)


def test_a_refused_question_is_told_as_the_tenants_to_answer(there: Mongo) -> None:
    there.database["orders"].insert_one({"_id": 1})
    with closing(there.source()) as source:
        stream = source.stream("orders")
        _fail(there, ["find"], 13)
        with pytest.raises(ConfigError, match="roles"):
            list(source.read(Selection(stream=stream, mode=SyncMode.FULL), None, Encoding.ARROW))
        _fail(there, [], 0)


def _fail(there: Mongo, commands: list[str], code: int) -> None:
    mode: Any = "alwaysOn" if commands else "off"
    data = {"failCommands": commands, "errorCode": code} if commands else {}
    there.client.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})


def test_a_wrong_url_is_told_without_its_password() -> None:
    config = MongoConfig.model_validate(
        {"url": "mongodb://sync:s3cret@127.0.0.1:1/", "database": "d", "connect_timeout_seconds": 1}
    )

    assert "s3cret" not in repr(config)
    assert config.redacted == "mongodb://127.0.0.1:1/d"


def test_every_server_of_a_url_is_shown_without_who_connects() -> None:
    """One by its address of IPv6, which Python's later versions take for a fault."""
    config = MongoConfig.model_validate(
        {"url": "mongodb://u:p@a:1,b,[::1]:3/?w=1", "database": "d"}
    )

    assert config.redacted == "mongodb://a:1,b,[::1]:3/d"


@pytest.mark.parametrize(
    ("missing", "connector", "config"),
    [
        ("bson", "mongodb", {"url": "mongodb://host/", "database": "d"}),
        ("pymysql", "database", {"url": "mysql://u:p@host/d"}),
    ],
)
def test_without_its_driver_a_connector_is_known_and_says_what_to_install(
    missing: str, connector: str, config: dict[str, str]
) -> None:
    """The other connectors go on working where an extra is not installed."""
    program = f"""
import sys
sys.modules[{missing!r}] = None
from connectors import registry
from connectors.errors import ConfigError
found = registry.get({connector!r})
try:
    found.open_source({config!r})
except ConfigError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )

    assert "install sync-pipelines[" in done.stdout


def test_uuids_are_uuids(there: Mongo) -> None:
    from bson.binary import Binary, UuidRepresentation

    known = UUID("00000000-0000-0000-0000-00000000000f")
    value = Binary.from_uuid(known, UuidRepresentation.STANDARD)
    there.database["ids"].insert_one({"_id": value})
    with closing(there.source()) as source:
        [found] = rows(read(source, "ids", mode=SyncMode.FULL))

    assert found == {"_id": str(known)}

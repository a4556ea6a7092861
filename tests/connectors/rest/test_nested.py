"""Lists that belong to a parent's records, and lists of ids alone."""

from dataclasses import replace

import pytest

from connectors.contract import Deletes, Selection, SyncMode, WriteMode
from connectors.testing.fake_api import FakeList, Reply
from connectors.testing.memory import MemoryDestination, MemoryStore
from connectors.testing.rows import row
from tests.connectors.rest.reading import ids, read
from tests.connectors.rest_systems import ORDERED, PAGES, orders, record
from tests.contract.moving import moved, planned


@pytest.fixture
def nested(api, opened):
    """Orders as they are held, and a source of them and of the refunds of each."""
    held = api.serve("/orders", FakeList())
    held.put(*(record(row(number, seconds=number)) for number in range(1, 6)))
    api.route(
        "GET",
        "/orders/{id}/refunds",
        lambda request: Reply.json(
            [{"id": int(request.places["id"]) * 10 + n, "amount": "1.50"} for n in (1, 2)]
        ),
    )
    refunds = {
        "name": "refunds",
        "path": "orders/{id}/refunds",
        "primary_key": ["id"],
        "columns": {
            "id": "integer",
            "amount": "decimal",
            "order_id": "integer",
            "order_changed_at": "timestamp",
        },
        "parent": {
            "stream": "orders",
            "copy": {"order_id": "id", "order_changed_at": "changed_at"},
            "cursor": "order_changed_at",
        },
    }
    return held, opened(orders(pages=PAGES["cursor"], incremental=ORDERED), refunds)


def test_a_nested_list_is_read_for_each_parent_and_carries_its_fields(nested):
    _, source = nested

    [batch] = read(source, "refunds")

    assert batch.data.column("id").to_pylist() == [11, 12, 21, 22, 31, 32, 41, 42, 51, 52]
    assert batch.data.column("order_id").to_pylist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_a_nested_list_is_asked_for_again_only_where_the_parent_changed(api, nested):
    held, source = nested
    state = read(source, "refunds")[-1].state
    held.put(record(row(2, seconds=50)))
    api.requests.clear()

    batches = read(source, "refunds", state=state)

    asked = [request.path for request in api.requests if "refunds" in request.path]
    # They are asked for at once, and arrive in either order.
    assert sorted(asked) == ["/orders/2/refunds", "/orders/5/refunds"]
    assert ids(batches) == [51, 52, 21, 22]


def test_records_inside_the_parent_need_no_further_call(api, opened):
    held = api.serve("/orders", FakeList())
    held.put({**record(row(1)), "lines": [{"sku": "a"}, {"sku": "b"}]}, record(row(2)))
    lines = {
        "name": "lines",
        "path": "",
        "columns": {"sku": "text", "order_id": "integer"},
        "parent": {"stream": "orders", "inside": "lines", "copy": {"order_id": "id"}},
    }
    source = opened(orders(), lines)

    [batch] = read(source, "lines", mode=SyncMode.FULL)

    assert batch.data.to_pylist() == [{"sku": s, "order_id": 1} for s in "ab"]
    assert len(api.requests) == 1


def test_a_list_of_ids_alone_finds_what_was_deleted(api, opened):
    """The rest of the record stays as it was."""
    held = api.serve("/orders", FakeList())
    held.put(*(record(row(number, seconds=number)) for number in range(4)))
    ids_alone = orders(name="orders_ids", pages=PAGES["number"], columns={"id": "integer"})
    source = opened(orders(incremental=ORDERED, pages=PAGES["cursor"]), ids_alone)
    store = MemoryStore()
    destination = MemoryDestination(store)
    go(source, destination, "orders", mode=SyncMode.INCREMENTAL, execution="1")

    held.remove(2)
    go(
        source,
        destination,
        "orders_ids",
        mode=SyncMode.FULL,
        execution="2",
        deletes=Deletes.HARD,
    )

    left = store.records("shop", "orders")
    assert sorted(one["id"] for one in left) == [0, 1, 3]
    assert {one["note"] for one in left} == {"note 0", "note 1", "note 3"}


def go(source, destination, stream, *, mode, execution, deletes=None):
    offered = source.stream(stream)
    selection = Selection(stream=offered, mode=mode)
    _, target = planned(
        source,
        stream,
        mode=mode,
        write_mode=WriteMode.UPSERT,
        execution=execution,
        dataset="shop",
    )
    target = replace(target, cursor_field=offered.cursor_field)
    target = target if deletes is None else replace(target, deletes=deletes)
    moved(source, destination, selection, target)

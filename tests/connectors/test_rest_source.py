"""The REST kit: lists that change, nested lists, columns, and what errors say."""

from dataclasses import replace
from decimal import Decimal
from functools import partial

import pytest

from connectors import registry
from connectors.contract import Deletes, Encoding, Selection, SyncMode, WriteMode
from connectors.errors import ConfigError, TransientError
from connectors.http.call import Answer
from connectors.rest.columns import Column, Kind, build
from connectors.rest.pages import next_link
from connectors.testing.fake_api import FakeApi, FakeList, Reply, damaged, first, same_cursor
from connectors.testing.memory import MemoryDestination, MemoryStore
from connectors.testing.rows import row
from tests.connectors.rest_systems import (
    ORDERED,
    PAGES,
    UNORDERED,
    RestSystem,
    changed,
    config,
    orders,
    record,
)
from tests.contract.moving import moved, planned


@pytest.fixture
def api():
    with FakeApi() as api:
        yield api


def read(source, name="orders", *, mode=SyncMode.INCREMENTAL, state=None, **how):
    selection = Selection(stream=source.stream(name), mode=mode, **how)
    return list(source.read(selection, state, Encoding.ARROW))


def ids(batches):
    return [found for batch in batches for found in batch.data.column("id").to_pylist()]


def opened(api, *streams, **more):
    return registry.get("rest_api").open_source(config(api.url, *streams, **more))


# Lists that change while they are read


@pytest.mark.parametrize("mode", list(SyncMode))
@pytest.mark.parametrize("pages", ["number", "number, counted", "offset, counted"])
def test_a_record_that_slips_to_a_page_already_read_is_not_lost(api, pages, mode):
    """A change moves a record to the end, and what followed it one place forward."""
    system = RestSystem(api, orders(pages=PAGES[pages], incremental=ORDERED))
    system.put([row(number, seconds=number) for number in range(8)])
    source = system.open()
    source.stream("orders")
    api.at(2, first(lambda: system.put([row(0, seconds=99)])))

    batches = read(source, mode=mode)

    assert set(ids(batches)) == set(range(8))
    source.close()


def test_a_list_of_no_order_that_changes_is_read_again(api):
    system = RestSystem(api, orders(pages=PAGES["number"], incremental=UNORDERED))
    system.put([row(number, seconds=number) for number in range(8)])
    api.at(3, first(lambda: system.orders.remove(0)))
    source = system.open()

    batches = read(source)

    assert set(ids(batches)) >= set(range(1, 8))
    assert batches[-1].state.watermark.startswith("2024-03-01T12:00:07")
    source.close()


def test_a_list_that_never_comes_to_rest_moves_no_state(api):
    system = RestSystem(api, orders(pages=PAGES["number"], incremental=UNORDERED))
    system.put([row(number, seconds=number) for number in range(40)])
    api.at(1, *[first(partial(system.orders.remove, number)) for number in range(39)])
    source = system.open()

    with pytest.raises(TransientError, match="changed while its pages were read"):
        read(source)
    source.close()


def test_a_full_read_of_a_list_that_was_read_again_brings_each_record_once(api):
    system = RestSystem(api, orders(pages=PAGES["number"]))
    system.put([row(number, seconds=number) for number in range(8)])
    api.at(3, first(lambda: system.orders.remove(0)))
    source = system.open()

    found = ids(read(source, mode=SyncMode.FULL))

    assert sorted(found) == list(range(8))
    source.close()


def test_a_whole_page_of_one_cursor_value_does_not_stop_the_reading(api):
    """Equal timestamps, more of them than a page holds."""
    system = RestSystem(api, orders(pages=PAGES["number"], incremental=ORDERED))
    system.put([row(number, seconds=number // 7) for number in range(20)])
    source = system.open()

    assert sorted(ids(read(source))) == list(range(20))
    source.close()


def test_a_list_that_is_not_in_the_order_it_promised_is_refused(api):
    promised = changed(ordered=True)
    system = RestSystem(api, orders(pages=PAGES["cursor"], incremental=promised))
    system.put([row(number, seconds=10 - number) for number in range(4)])
    source = system.open()

    with pytest.raises(ConfigError, match="ordered: false"):
        read(source)
    source.close()


def test_the_watermark_does_not_pass_the_time_at_which_the_read_began(api):
    """A change on a page that was read already must not hide behind a later one."""
    system = RestSystem(api, orders(pages=PAGES["cursor"], incremental=UNORDERED))
    system.put([row(1), row(2, seconds=1), row(3, seconds=2)])
    api.clock = lambda: row(0, seconds=5).changed_at
    api.at(2, first(lambda: system.put([row(1, seconds=20), row(9, seconds=30)])))
    source = system.open()
    state = read(source)[-1].state

    again = read(source, state=state)

    assert state.watermark < "2024-03-01T12:00:06"
    assert {1, 9} <= set(ids(again))
    source.close()


# Pages


def test_a_repeated_cursor_ends_in_an_error_and_not_in_a_circle(api):
    system = RestSystem(api, orders(pages=PAGES["cursor"]))
    system.put([row(number) for number in range(8)])
    api.at(2, same_cursor)
    source = system.open()

    with pytest.raises(TransientError, match="leads back to a page"):
        read(source, mode=SyncMode.FULL)
    source.close()


def test_a_list_of_too_many_pages_is_refused(api):
    system = RestSystem(api, orders(pages=PAGES["cursor"]))
    system.put([row(number) for number in range(8)])
    source = opened(api, orders(pages=PAGES["cursor"]), max_pages=3)

    with pytest.raises(ConfigError, match="max_pages"):
        read(source, mode=SyncMode.FULL)
    source.close()


def test_a_next_link_to_another_origin_is_not_followed(api):
    evil = 'http://evil.example/x>; rel="next"'
    api.route(
        "GET",
        "/orders",
        lambda request: Reply.json({"data": [record(row(1))]}, headers={"Link": f"<{evil}"}),
    )
    source = opened(api, orders(pages=PAGES["link"]))

    with pytest.raises(ConfigError, match="one origin"):
        read(source, mode=SyncMode.FULL)
    source.close()


def test_a_page_that_breaks_off_is_asked_for_again(api):
    system = RestSystem(api, orders(pages=PAGES["number, counted"]))
    system.put([row(number) for number in range(8)])
    api.at(2, damaged)
    source = system.open()

    assert ids(read(source, mode=SyncMode.FULL)) == list(range(8))
    source.close()


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('<https://x/a?p=2>; rel="next"', "https://x/a?p=2"),
        ('<https://x/a?p=1,2>; rel="prev", <https://x/b>; rel="next last"', "https://x/b"),
        ("<https://x/c>; title=x; rel=next", "https://x/c"),
        ('<https://x/c>; rel="nextish"', None),
        ("", None),
    ],
)
def test_the_next_link_is_found(header, found):
    """RFC 8288."""
    assert next_link(header) == found


# Nested lists


def nested(api):
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
    return held, opened(api, orders(pages=PAGES["cursor"], incremental=ORDERED), refunds)


def test_a_nested_list_is_read_for_each_parent_and_carries_its_fields(api):
    _, source = nested(api)

    [batch] = read(source, "refunds")

    assert batch.data.column("id").to_pylist() == [11, 12, 21, 22, 31, 32, 41, 42, 51, 52]
    assert batch.data.column("order_id").to_pylist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    source.close()


def test_a_nested_list_is_asked_for_again_only_where_the_parent_changed(api):
    held, source = nested(api)
    state = read(source, "refunds")[-1].state
    held.put(record(row(2, seconds=50)))
    api.requests.clear()

    batches = read(source, "refunds", state=state)

    asked = [request.path for request in api.requests if "refunds" in request.path]
    # They are asked for at once, and arrive in either order.
    assert sorted(asked) == ["/orders/2/refunds", "/orders/5/refunds"]
    assert ids(batches) == [51, 52, 21, 22]
    source.close()


def test_records_inside_the_parent_need_no_further_call(api):
    held = api.serve("/orders", FakeList())
    held.put({**record(row(1)), "lines": [{"sku": "a"}, {"sku": "b"}]}, record(row(2)))
    lines = {
        "name": "lines",
        "path": "",
        "columns": {"sku": "text", "order_id": "integer"},
        "parent": {"stream": "orders", "inside": "lines", "copy": {"order_id": "id"}},
    }
    source = opened(api, orders(), lines)

    [batch] = read(source, "lines", mode=SyncMode.FULL)

    assert batch.data.to_pylist() == [{"sku": s, "order_id": 1} for s in "ab"]
    assert len(api.requests) == 1
    source.close()


# Deletes


def test_a_list_of_ids_alone_finds_what_was_deleted(api):
    """The rest of the record stays as it was."""
    held = api.serve("/orders", FakeList())
    held.put(*(record(row(number, seconds=number)) for number in range(4)))
    ids_alone = orders(name="orders_ids", pages=PAGES["number"], columns={"id": "integer"})
    source = opened(api, orders(incremental=ORDERED, pages=PAGES["cursor"]), ids_alone)
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
    source.close()


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


# Columns


def test_values_keep_their_digits_their_zone_and_their_text():
    """Law 7."""
    columns = [
        Column(name="price", kind=Kind.DECIMAL),
        Column(name="at", kind=Kind.TIMESTAMP),
        Column(name="seen", kind=Kind.EPOCH),
        Column(name="meta", kind=Kind.JSON),
        Column(name="city", path="address.city"),
    ]
    body = (
        b'[{"price": 12345678901234567890.10, "at": "2026-03-01T12:00:00.123456+02:00",'
        b' "seen": 1700000000, "meta": {"a": 1.10, "b": [null]},'
        b' "address": {"city": "K\xc3\xb6ln"}},'
        b' {"price": "0.30", "at": "2026-03-01T12:00:00", "seen": null, "meta": null}]'
    )
    records = Answer(url="http://x", status=200, headers={}, content=body).json()

    table = build(records, columns, ()).data

    assert table.column("price").to_pylist() == ["12345678901234567890.10", "0.30"]
    assert [at.isoformat() for at in table.column("at").to_pylist()] == [
        "2026-03-01T10:00:00.123456+00:00",
        "2026-03-01T12:00:00+00:00",
    ]
    assert table.column("seen")[0].as_py().isoformat() == "2023-11-14T22:13:20+00:00"
    assert table.column("meta").to_pylist() == ['{"a":1.10,"b":[null]}', None]
    assert table.column("city").to_pylist() == ["Köln", None]


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        ("integer", "7.5"),
        ("integer", True),
        ("integer", 2**63),
        ("number", "many"),
        ("decimal", "1,50"),
        ("boolean", "yes"),
        ("timestamp", "yesterday"),
        ("local_timestamp", "2026-03-01T12:00:00Z"),
        ("date", "2026-03-01T12:00:00Z"),
        ("epoch", "soon"),
    ],
)
def test_a_value_that_does_not_fit_rejects_its_record_and_no_other(kind, bad):
    columns = [Column(name="id", kind=Kind.INTEGER), Column(name="x", kind=Kind(kind))]

    built = build([{"id": 1, "x": bad}, {"id": 2, "x": None}], columns, ["id"])

    assert built.data.column("id").to_pylist() == [2]
    [rejection] = built.rejected
    assert rejection.key == "1"
    assert f"'x' is {kind}" in rejection.reason
    assert str(bad) not in rejection.reason


def test_a_fraction_is_not_cut_off_from_a_whole_number(api):
    built = build([{"n": Decimal("1.5")}], [Column(name="n", kind=Kind.INTEGER)], ())

    assert built.data.num_rows == 0


def test_columns_are_inferred_from_the_first_page(api):
    api.route(
        "GET",
        "/orders",
        lambda request: Reply.json(
            [{"id": 1, "price": 2, "tags": [1], "x.y": "a", "changed_at": "2026-03-01T12:00:00Z"},
             {"id": 2, "price": 2.5, "gift": True}]
        ),
    )  # fmt: skip
    source = opened(api, orders(columns=None, records="", incremental=changed()))

    stream = source.stream("orders")

    assert {one.name: str(one.type) for one in stream.schema} == {
        "id": "int64",
        "price": "string",
        "tags": "string",
        "x.y": "string",
        "changed_at": "timestamp[us, tz=UTC]",
        "gift": "bool",
    }
    [batch] = read(source)
    assert batch.data.column("x.y").to_pylist() == ["a", None]
    source.close()


def test_a_stream_without_records_says_why_it_has_no_columns(api):
    api.serve("/orders", FakeList())
    source = opened(api, orders(columns=None))

    with pytest.raises(ConfigError, match="declare its columns"):
        source.stream("orders")
    assert "declare its columns" in source.discover()[0].note
    source.close()


def test_records_that_are_not_where_they_should_be_are_missed_by_name(api):
    api.route("GET", "/orders", lambda request: Reply.json({"items": {"a": 1}, "data": "x"}))
    source = opened(api, orders(records="data"))

    with pytest.raises(
        ConfigError, match=r"'data' is no list of objects; the answer has: items, data"
    ) as told:
        read(source, mode=SyncMode.FULL)

    assert "set records" in str(told.value)
    source.close()

"""Columns: declared or inferred, exact in their values, and missed by name."""

from decimal import Decimal

import pytest

from connectors.contract import SyncMode
from connectors.errors import ConfigError
from connectors.http.call import Answer
from connectors.rest.columns import Column, Kind, build
from connectors.testing.fake_api import FakeList, Reply
from tests.connectors.rest.reading import read
from tests.connectors.rest_systems import changed, orders


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
        ("integer", Decimal("1.5")),
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


def test_columns_are_inferred_from_the_first_page(api, opened):
    api.route(
        "GET",
        "/orders",
        lambda request: Reply.json(
            [{"id": 1, "price": 2, "tags": [1], "x.y": "a", "changed_at": "2026-03-01T12:00:00Z"},
             {"id": 2, "price": 2.5, "gift": True}]
        ),
    )  # fmt: skip
    source = opened(orders(columns=None, records="", incremental=changed()))

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


def test_a_stream_without_records_says_why_it_has_no_columns(api, opened):
    api.serve("/orders", FakeList())
    source = opened(orders(columns=None))

    with pytest.raises(ConfigError, match="declare its columns"):
        source.stream("orders")
    assert "declare its columns" in source.discover()[0].note


def test_records_that_are_not_where_they_should_be_are_missed_by_name(api, opened):
    api.route("GET", "/orders", lambda request: Reply.json({"items": {"a": 1}, "data": "x"}))
    source = opened(orders(records="data"))

    with pytest.raises(
        ConfigError, match=r"'data' is no list of objects; the answer has: items, data"
    ) as told:
        read(source, mode=SyncMode.FULL)

    assert "set records" in str(told.value)

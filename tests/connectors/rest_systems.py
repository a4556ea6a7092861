"""The fake provider as the suites see it: ours by configuration, theirs by its records."""

from collections.abc import Mapping, Sequence
from typing import Any

from connectors import registry
from connectors.contract import Source
from connectors.testing.fake_api import FakeApi, FakeList
from connectors.testing.rows import Row

COLUMNS = {"id": "integer", "changed_at": "timestamp", "note": "text"}

PAGES: Mapping[str, Mapping[str, Any]] = {
    "number": {"kind": "number", "size": 2, "size_param": "limit"},
    "number, counted": {
        "kind": "number",
        "size": 2,
        "size_param": "limit",
        "total_header": "X-Total",
    },
    "offset, counted": {"kind": "offset", "size": 2, "total_path": "total"},
    "cursor": {"kind": "cursor", "param": "cursor", "cursor": "next_cursor", "size": 2},
    "link": {"kind": "link", "size": 2, "size_param": "limit", "shifts": True},
    "next url": {"kind": "link", "path": "next", "size": 2, "size_param": "limit", "shifts": True},
}

KEYSET = {"kind": "keyset", "param": "since_id", "key": "id", "size": 2, "more": "has_more"}
"""By the key: such a list is in no order of its cursor."""

SORTED = {"sort": "cursor"}


def changed(**more: Any) -> dict[str, Any]:
    """How the fake is asked for what changed."""
    return {"field": "changed_at", "param": "since", **more}


ORDERED = changed(ordered=True, params=SORTED)
UNORDERED = changed()


def orders(**more: Any) -> dict[str, Any]:
    return {
        "name": "orders",
        "path": "/orders",
        "records": "data",
        "primary_key": ["id"],
        "columns": COLUMNS,
        **more,
    }


def config(url: str, *streams: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "base_url": url,
        "streams": list(streams),
        "allow_private_addresses": True,
        "tries": 2,
        **more,
    }


def record(row: Row) -> dict[str, Any]:
    at = None if row.changed_at is None else row.changed_at.isoformat().replace("+00:00", "Z")
    return {"id": row.id, "changed_at": at, "note": row.note}


class RestSystem:
    stream = "orders"

    def __init__(self, api: FakeApi, *streams: Mapping[str, Any], **served: Any) -> None:
        self.api = api
        self.streams = streams
        self.orders = api.serve("/orders", FakeList(**served))

    def open(self) -> Source:
        return registry.get("rest_api").open_source(config(self.api.url, *self.streams))

    def put(self, rows: Sequence[Row]) -> None:
        self.orders.put(*(record(row) for row in rows))

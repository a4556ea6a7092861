"""MongoDB as the suites see it: ours through the contract, theirs through pymongo."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

from bson import Decimal128
from pymongo import MongoClient

from connectors import registry
from connectors.contract import Destination, Source
from connectors.testing.rows import Row

FIELDS = {"orders": {"id": "integer", "changed_at": "instant", "note": "text"}}


class Lenient(dict[str, Any]):
    """A document, in which a field that is not there is null."""

    def __missing__(self, name: str) -> None:
        return None


class Mongo:
    """A database of the test's own on a server."""

    stream = "orders"

    def __init__(self, server: str, **config: Any) -> None:
        self.client: MongoClient[dict[str, Any]] = MongoClient(server, tz_aware=True)
        self.database = self.client[f"t{uuid4().hex[:12]}"]
        self.config = {"url": server, "database": self.database.name, **config}

    def make_orders(self, *, indexed: bool) -> None:
        self.config["fields"] = FIELDS
        self.database.create_collection("orders")
        if indexed:
            self.database["orders"].create_index("changed_at")

    def source(self) -> Source:
        return registry.get("mongodb").open_source(self.config)

    def put(self, rows: Sequence[Row]) -> None:
        for row in rows:
            document = {"id": row.id, "changed_at": row.changed_at, "note": row.note}
            self.database["orders"].replace_one({"_id": row.id}, document, upsert=True)

    def destination(self) -> Destination:
        return registry.get("mongodb").open_destination(self.config)

    def records(self, dataset: str, table: str) -> list[Mapping[str, Any]] | None:
        name = f"{dataset}.{table}"
        if name not in self.tables():
            return None
        return [
            Lenient((key, _seen(value)) for key, value in document.items() if key != "_id")
            for document in self.database[name].find()
        ]

    def tables(self) -> list[str]:
        return sorted(self.database.list_collection_names())

    def drop(self, dataset: str, table: str) -> None:
        self.database.drop_collection(f"{dataset}.{table}")

    def close(self) -> None:
        with suppress(Exception):
            self.client.drop_database(self.database.name)
        self.client.close()


def _seen(value: Any) -> Any:
    return value.to_decimal() if isinstance(value, Decimal128) else value

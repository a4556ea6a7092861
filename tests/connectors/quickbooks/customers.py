"""The contract suite's records as customers of a company, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from connectors.arrow import field
from connectors.contract import Batch, Destination, Encoding, Target, Writer
from connectors.described import arrow_schema
from connectors.providers.quickbooks.destination import QuickBooksDestination
from connectors.rejected import REJECTED_TABLE
from connectors.testing.rows import SCHEMA
from tests.connectors.quickbooks_world import Books

NAMES = {"changed_at": "company_name", "note": "notes"}
"""Where a customer keeps what a record has."""
CALLED = "record "


@dataclass
class Mapped:
    """A destination whose records a sync's mapping has made customers of."""

    destination: QuickBooksDestination

    def check(self) -> str:
        return self.destination.check()

    def encodings(self, target: Target) -> Sequence[Encoding]:
        return self.destination.encodings(target)

    def open(self, target: Target, encoding: Encoding) -> Writer:
        if target.table == "orders":
            mapped = customers(arrow_schema(target.schema).empty_table()).schema
            target = replace(target, table="customers", schema=mapped)
        return MappingWriter(self.destination.open(target, encoding))  # type: ignore[return-value]

    def read_table(self, dataset: str, table: str) -> pa.Table:
        if table == REJECTED_TABLE:
            found = self.destination.read_table(dataset, table)
            place = found.schema.get_field_index("payload")
            said = pc.replace_substring(found["payload"], '"notes"', '"note"')
            return found.set_column(place, "payload", said)
        if table != "orders":
            return self.destination.read_table(dataset, table)
        found = self.destination.read_table(dataset, "customers")
        return pa.Table.from_pylist([record(one) for one in found.to_pylist()], schema=SCHEMA)

    def close(self) -> None:
        self.destination.close()


class MappingWriter:
    """A writer of records that become customers."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer

    def write(self, batch: Batch) -> None:
        assert isinstance(batch.data, pa.Table)
        self.writer.write(replace(batch, data=customers(batch.data)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.writer, name)


def customers(records: pa.Table) -> pa.Table:
    """Named by their keys; their cursor is kept as a text, too."""
    names = [f"{CALLED}{one}" for one in records["id"].to_pylist()]
    told = records.append_column(field("display_name", pa.string()), pa.array(names, pa.string()))
    if "note" in told.schema.names:
        told = told.rename_columns(["notes" if n == "note" else n for n in told.schema.names])
    if "changed_at" in told.schema.names:
        texts = [one and one.isoformat() for one in told["changed_at"].to_pylist()]
        column = pa.array(texts, pa.string())
        told = told.append_column(field("company_name", pa.string()), column)
    return told


def record(customer: Mapping[str, Any]) -> dict[str, Any]:
    """What a customer was made of."""
    changed_at = customer["company_name"]
    return {
        "id": int(customer["display_name"].removeprefix(CALLED)),
        "changed_at": changed_at and datetime.fromisoformat(changed_at),
        "note": customer["notes"],
    }


@dataclass
class CustomersSystem:
    """The company, and what other programs see of it."""

    books: Books

    def open(self) -> Destination:
        return Mapped(self.books.destination())

    def records(self, dataset: str, table: str) -> list[Mapping[str, Any]] | None:
        return [
            record(
                {
                    "display_name": one["DisplayName"],
                    "company_name": one.get("CompanyName"),
                    "notes": one.get("Notes"),
                }
            )
            for one in self.books.company.all("Customer")
        ]

    def tables(self) -> list[str]:
        return sorted(name for name, held in self.books.company.objects.items() if held)

    def drop(self, dataset: str, table: str) -> None:
        raise AssertionError("it is not asked for")

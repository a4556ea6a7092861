"""A company, and a stream that is written to it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from connectors.contract import Batch, Encoding, Refusing, State, Target, WriteMode, Writer
from connectors.http.bearer import MemoryTokens
from connectors.http.outside import Outside
from connectors.providers.quickbooks.config import QuickBooksConfig
from connectors.providers.quickbooks.destination import QuickBooksDestination
from connectors.surroundings import Surroundings
from tests.providers.quickbooks import QuickBooks
from tests.world import FakeClock


def passing(clock: FakeClock) -> Callable[[float], None]:
    """Sleep that takes no time but the clock's."""

    def sleep(seconds: float) -> None:
        clock.advance(seconds=seconds)

    return sleep


@dataclass
class Books:
    """Writes records to the company as an execution would."""

    company: QuickBooks
    clock: FakeClock
    ledger: str
    tokens: MemoryTokens = field(default_factory=MemoryTokens)

    @classmethod
    def at(cls, company: QuickBooks, clock: FakeClock, directory: Path) -> "Books":
        return cls(company=company, clock=clock, ledger=f"sqlite:///{directory}/ledger.db")

    def destination(self, **more: Any) -> QuickBooksDestination:
        given = {"ledger": self.ledger, "income_account": "Sales", **more}
        destination = QuickBooksDestination(
            config=QuickBooksConfig(**self.company.config(**given)),
            clock=self.clock,
            outside=Outside(
                now=self.clock,
                chance=lambda: 0.0,
                sleep=passing(self.clock),
            ),
        )
        destination.surround(Surroundings(tokens=self.tokens))
        return destination

    @contextmanager
    def writing(self, target: Target, **more: Any) -> Iterator[Writer]:
        with (
            closing(self.destination(**more)) as destination,
            closing(destination.open(target, Encoding.ARROW)) as writer,
        ):
            yield writer

    def send(self, table: str, *records: Mapping[str, Any], execution="first", mark="m", **more):
        """What one execution commits, and the records that were refused."""
        names = dict.fromkeys(name for record in records for name in record)
        data = pa.Table.from_pylist([{name: one.get(name) for name in names} for one in records])
        to = target(table, data.schema, execution)
        with self.writing(to, **more) as writer:
            writer.write(Batch(data=data))
            state = State(version=1, value={"watermark": mark})
            done = writer.commit(state, finished=True)
            assert isinstance(writer, Refusing)
            return done, [f"{one.key}: {one.reason}" for one in writer.refused]


def target(table: str, schema: pa.Schema, execution: str = "first", **more: Any) -> Target:
    given = {"write_mode": WriteMode.UPSERT, "primary_key": ("id",), "owner": "acme/books", **more}
    return Target(
        stream=table, execution=execution, dataset="books", table=table, schema=schema, **given
    )


def sold(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What people would compare of a document's lines."""
    return [
        {
            "item": one["SalesItemLineDetail"]["ItemRef"]["value"],
            "quantity": one["SalesItemLineDetail"]["Qty"],
            "amount": one["Amount"],
        }
        for one in lines
        if one["DetailType"] == "SalesItemLineDetail"
    ]


def customer(identity: int, name: str, **more):
    return {"id": identity, "display_name": name, "email": f"{name.lower()}@x.ca", **more}


def invoice(identity: int, **more):
    lines = [{"sku": "N1", "name": "Nut", "quantity": 3, "amount": "9.99"}]
    return {
        "id": identity,
        "number": f"W{identity}",
        "customer_name": "Ann",
        "customer_email": "ann@x.ca",
        "date": "2026-03-01",
        "lines": json.dumps(lines),
        "total": "9.99",
        **more,
    }

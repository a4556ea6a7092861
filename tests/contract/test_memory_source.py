"""The source in memory keeps the contract, ordered or not."""

from collections.abc import Sequence
from dataclasses import asdict

import pytest

from connectors.contract import Stream
from connectors.testing.memory import MemorySource, MemoryStream
from connectors.testing.rows import SCHEMA
from connectors.testing.source_suite import Row, SourceContract


class MemorySystem:
    stream = "orders"

    def __init__(self, *, ordered: bool) -> None:
        self.orders = MemoryStream(
            Stream(
                name="orders",
                schema=SCHEMA,
                primary_key=("id",),
                cursor_field="changed_at",
                ordered=ordered,
            )
        )
        self.other = MemoryStream(Stream(name="countries", schema=SCHEMA))

    def open(self) -> MemorySource:
        return MemorySource([self.orders, self.other])

    def put(self, rows: Sequence[Row]) -> None:
        self.orders.put(*(asdict(row) for row in rows))


class MemorySourceContract(SourceContract):
    def only_id(self, identity: int) -> str:
        return f"id={identity}"


class TestAnOrderedMemorySource(MemorySourceContract):
    @pytest.fixture
    def system(self) -> MemorySystem:
        return MemorySystem(ordered=True)


class TestAnUnorderedMemorySource(MemorySourceContract):
    @pytest.fixture
    def system(self) -> MemorySystem:
        return MemorySystem(ordered=False)

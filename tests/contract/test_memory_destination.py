"""The destination in memory keeps the contract."""

from collections.abc import Mapping
from typing import Any

import pytest

from connectors.testing.destination_suite import DestinationContract
from connectors.testing.memory import MemoryDestination, MemoryStore


class MemorySystem:
    def __init__(self) -> None:
        self.store = MemoryStore()

    def open(self) -> MemoryDestination:
        return MemoryDestination(self.store)

    def records(self, dataset: str, table: str) -> list[Mapping[str, Any]] | None:
        found = self.store.records(dataset, table)
        return None if found is None else list(found)

    def tables(self) -> list[str]:
        return sorted(table for _, table in self.store.tables)

    def drop(self, dataset: str, table: str) -> None:
        del self.store.tables[dataset, table]


class TestAMemoryDestination(DestinationContract):
    @pytest.fixture
    def system(self) -> MemorySystem:
        return MemorySystem()

"""MongoDB keeps the contract, on a server that speaks its protocol."""

from collections.abc import Iterator

import pytest

from connectors.contract import Destination, Source
from connectors.testing import rows
from connectors.testing.destination_suite import DestinationContract
from connectors.testing.source_suite import SourceContract
from tests.contract.mongodb_system import Mongo

pytest_plugins = ["tests.servers.stores"]


@pytest.fixture
def in_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """MongoDB's own dates end there."""
    monkeypatch.setattr(rows, "BASE", rows.BASE.replace(microsecond=123_000))


class MongoDestination(Mongo):
    def open(self) -> Destination:
        return self.destination()


class TestAMongoDestination(DestinationContract):
    @pytest.fixture
    def system(self, mongodb_server: str) -> Iterator[MongoDestination]:
        system = MongoDestination(mongodb_server)
        yield system
        system.close()


class MongoSource(Mongo):
    def open(self) -> Source:
        return self.source()


@pytest.mark.usefixtures("in_milliseconds")
@pytest.mark.parametrize("indexed", [True, False], ids=["indexed", "not indexed"])
class TestAMongoSource(SourceContract):
    @pytest.fixture
    def system(self, mongodb_server: str, indexed: bool) -> Iterator[MongoSource]:
        system = MongoSource(mongodb_server)
        system.make_orders(indexed=indexed)
        yield system
        system.close()

    def only_id(self, identity: int) -> str:
        return f'{{"id": {identity}}}'

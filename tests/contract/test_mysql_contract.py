"""MariaDB keeps the contract, as a source and as a destination, on a real server."""

from typing import ClassVar

import pytest

from connectors.contract import Destination, Source
from connectors.testing.destination_suite import DestinationContract
from connectors.testing.features import Feature
from connectors.testing.source_suite import SourceContract
from tests.contract.mysql_system import Mariadb

pytest_plugins = ["tests.servers.stores"]


class MariadbSource(Mariadb):
    def open(self) -> Source:
        return self.source()


class MariadbDestination(Mariadb):
    def open(self) -> Destination:
        return self.destination()


@pytest.mark.parametrize("indexed", [True, False], ids=["indexed", "not indexed"])
class TestAMariadbSource(SourceContract):
    @pytest.fixture
    def system(self, mariadb_server: str, indexed: bool) -> MariadbSource:
        system = MariadbSource(mariadb_server)
        system.make_orders(indexed=indexed)
        return system


class TestAMariadbDestination(DestinationContract):
    lacks: ClassVar = {
        Feature.NOT_A_NUMBER: "MySQL has no NaN and no infinity, so such a record is rejected",
        Feature.ENDLESS_DECIMALS: "MySQL's decimals end at 65 digits; longer ones are its text",
    }

    @pytest.fixture
    def system(self, mariadb_server: str) -> MariadbDestination:
        return MariadbDestination(mariadb_server)

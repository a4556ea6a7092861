"""The same proof with MariaDB as the destination, where a definition commits by itself."""

from pathlib import Path

import pytest

from connectors.contract import Encoding
from tests.crash.harness import Combination, harness
from tests.crash.orders import Manner

pytest_plugins = ["tests.servers.stores"]


@pytest.mark.parametrize("manner", [*Manner])
def test_a_sync_into_mariadb_that_is_killed_gets_through_exactly(
    postgres_url: str, mariadb_server: str, tmp_path: Path, manner: Manner
) -> None:
    """R63, R64."""
    into = Combination(manner=manner, encoding=Encoding.ARROW, destination="mariadb")

    with harness(postgres_url, tmp_path, mariadb=mariadb_server) as proof:
        proof.run(into, 1)

"""A database of the test's own on a real MariaDB."""

import pytest

from tests.contract.mysql_system import Mariadb


@pytest.fixture
def there(mariadb_server: str) -> Mariadb:
    return Mariadb(mariadb_server)

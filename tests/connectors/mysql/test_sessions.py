"""Sessions with MySQL and MariaDB: what they may do, and what errors never tell."""

from contextlib import closing
from typing import Any

import pytest

from connectors.errors import AuthError, ConfigError
from connectors.sql.config import DatabaseConfig
from connectors.sql.mysql.session import MysqlSession
from tests.contract.mysql_system import Mariadb

pytest_plugins = ["tests.servers.stores"]


def test_a_source_cannot_write_and_asks_for_no_file(there: Mariadb, mariadb_server: str) -> None:
    """A server that answers any query with "send me your file" gets none."""
    config = DatabaseConfig.model_validate({"url": there.url})
    with closing(MysqlSession(config, read_only=True)) as session:
        with pytest.raises(ConfigError, match="READ ONLY"):
            session.execute("CREATE TABLE mine (id INT)", "trying")

        connection: Any = session.connection
        assert connection._local_infile is False


def test_a_wrong_password_is_told_without_it(there: Mariadb) -> None:
    there.run("CREATE OR REPLACE USER 'sync'@'%%' IDENTIFIED BY 'right'")
    url = there.url.replace("root@", "sync:s3cret@")
    session = MysqlSession(DatabaseConfig.model_validate({"url": url}))

    with closing(session), pytest.raises(AuthError) as refused:
        session.version()

    assert "s3cret" not in str(refused.value)
    assert "sync@127.0.0.1" in str(refused.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://u:p@host", "mysql://user:password@host:3306/database"),
        ("mysql://u:p/q@host:x/db", "percent-encode"),
        ("mysql://u:p@host/db?ssl_ca=/etc/passwd", "tls=verify"),
    ],
)
def test_a_wrong_url_is_refused_without_being_quoted(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        DatabaseConfig.model_validate({"url": url})

    assert "u:p" not in str(refused.value)


def test_a_duplicate_is_told_without_the_value(there: Mariadb) -> None:
    there.run("CREATE TABLE one (secret VARCHAR(20) UNIQUE)")
    there.run("INSERT INTO one VALUES ('confidential')")
    session = MysqlSession(DatabaseConfig.model_validate({"url": there.url}))

    with closing(session), pytest.raises(ConfigError) as refused:
        session.execute("INSERT INTO one VALUES ('confidential')", "writing")

    assert "confidential" not in str(refused.value)

"""Rows that are poured into PostgreSQL: one COPY takes what comes, batch after batch."""

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url

from connectors.errors import ConfigError
from connectors.sql.config import DatabaseConfig
from connectors.sql.postgres.session import PostgresSession

COPY = "COPY sent (n) FROM STDIN (FORMAT binary)"


def rows(*numbers: int) -> Iterator[bytes]:
    """Of a column that is an integer."""
    for number in numbers:
        yield b"\0\1\0\0\0\4" + number.to_bytes(4, "big")


@pytest.fixture
def config(postgres_url: str) -> DatabaseConfig:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(
            "DROP TABLE IF EXISTS sent; CREATE TABLE sent (n integer CHECK (n < 100))"
        )
    return DatabaseConfig(url=SecretStr(postgres_url))


def copies(config: DatabaseConfig) -> int:
    """How many COPY the server is at."""
    with psycopg.connect(config.conninfo) as connection:
        query = "SELECT count(*) FROM pg_stat_progress_copy WHERE datname = current_database()"
        (count,) = connection.execute(query).fetchone() or (0,)
    return int(count)


def test_a_copy_goes_on_until_the_connection_is_needed(config: DatabaseConfig) -> None:
    with closing(PostgresSession(config)) as session:
        session.pour(COPY, rows(1, 2))
        session.pour(COPY, rows(3))
        under_way = copies(config)
        found = session.connection.execute("SELECT n FROM sent ORDER BY n").fetchall()
        session.pour(COPY, rows(4))
        session.pour(COPY.replace("(n)", '("n")'), rows(5))
        again = session.connection.execute("SELECT count(*) FROM sent").fetchall()

        assert (under_way, copies(config)) == (1, 0)
        assert (found, again) == ([(1,), (2,), (3,)], [(5,)])


def test_where_a_statement_may_not_take_long_each_batch_is_a_copy(config: DatabaseConfig) -> None:
    bounded = config.model_copy(update={"statement_timeout_seconds": 60})
    with closing(PostgresSession(bounded)) as session:
        session.pour(COPY, rows(1))

        assert copies(config) == 0


@pytest.mark.parametrize(("read_only", "limit"), [(False, "0"), (True, "9s")])
def test_a_limit_of_the_server_s_own_guards_a_source_and_ends_no_copy_of_a_slow_one(
    config: DatabaseConfig, read_only: bool, limit: str
) -> None:
    given = make_url(config.url.get_secret_value())
    limited = given.update_query_dict({"options": "-cstatement_timeout=9s"})
    url = limited.render_as_string(hide_password=False)
    config = config.model_copy(update={"url": SecretStr(url)})

    with closing(PostgresSession(config, read_only=read_only)) as session:
        assert session.connection.execute("SHOW statement_timeout").fetchone() == (limit,)


def test_what_is_wrong_with_a_row_is_raised_when_the_connection_is_needed(
    config: DatabaseConfig,
) -> None:
    with closing(PostgresSession(config)) as session:
        session.pour(COPY, rows(1, 100))

        with pytest.raises(ConfigError, match=r"copying .*constraint"):
            session.connection.execute("SELECT 1")

        assert session.connection.execute("SELECT n FROM sent").fetchall() == []


def test_a_session_that_is_closed_in_a_copy_leaves_none_of_it(config: DatabaseConfig) -> None:
    session = PostgresSession(config)
    session.pour(COPY, rows(1))

    session.close()

    with closing(PostgresSession(config)) as other:
        assert other.connection.execute("SELECT n FROM sent").fetchall() == []
    assert copies(config) == 0

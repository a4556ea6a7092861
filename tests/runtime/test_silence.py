"""What `up` forgives its processes: a database that is away, and not one that is too small."""

from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from sync_pipelines.runtime.up import silence


def as_user(url: str, user: str) -> str:
    return make_url(url).set(username=user).render_as_string(hide_password=False)


@pytest.fixture
def crowded(postgres_server: str):
    """The URL of a server that has no connection left for its user."""
    user = f"sync_test_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        name = sql.Identifier(user)
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN CONNECTION LIMIT 0").format(name))
        yield as_user(postgres_server, user)
        admin.execute(sql.SQL("DROP ROLE {}").format(name))


def test_a_database_that_is_away_excuses_and_one_that_answers_does_not(postgres_server: str):
    said: list[str] = []

    away = silence("postgresql://nobody@127.0.0.1:9/none", said.append)
    there = silence(postgres_server, said.append)

    assert (away, there) == ("the database does not answer", None)
    assert said == []


def test_a_database_without_a_connection_left_is_no_excuse_and_told_with_the_remedy(crowded: str):
    said: list[str] = []

    excuse = silence(crowded, said.append)

    assert excuse is None
    (line,) = said
    assert "no connection left; raise max_connections" in line


@pytest.mark.parametrize(
    "message",
    [
        "FATAL:  sorry, too many clients already",
        'FATAL:  too many connections for database "sync"',
        "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
    ],
)
def test_however_the_server_says_that_it_is_full(monkeypatch: pytest.MonkeyPatch, message: str):
    def refuse(*_: object, **__: object) -> None:
        raise psycopg.OperationalError(f"connection failed: {message}")

    monkeypatch.setattr(psycopg, "connect", refuse)

    assert silence("postgresql://u@h/db", lambda _: None) is None

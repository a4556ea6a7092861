import psycopg
import psycopg2  # type: ignore[import-untyped]

from benchmarks.counting import Requests, counted


def test_statements_and_connections_of_both_drivers_are_counted(empty_postgres_url, tmp_path):
    """Simple queries by psycopg 2; prepared ones, where there are arguments, by psycopg 3."""
    with counted(empty_postgres_url, tmp_path) as (url, counter):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SELECT 1")
            connection.execute("SELECT %s", [2])
        one = psycopg2.connect(url)
        one.autocommit = True
        with one.cursor() as cursor:
            cursor.execute("SELECT repeat('x', 300000)")
            (text,) = cursor.fetchone()
        one.close()

    assert (counter.connections, counter.statements) == (2, 3)
    assert len(text) == 300_000


def test_nobody_elses_statements_are_counted(empty_postgres_url, tmp_path):
    with (
        counted(empty_postgres_url, tmp_path) as (_, counter),
        psycopg.connect(empty_postgres_url) as connection,
    ):
        connection.execute("SELECT 1")

    assert (counter.connections, counter.statements) == (0, 0)


def test_requests_that_come_in_pieces_are_counted_once():
    hello = (8).to_bytes(4, "big") + (196608).to_bytes(4, "big")
    query = b"Q" + (12).to_bytes(4, "big") + b"SELECT \0"
    whole = hello + query + query
    requests = Requests()

    for number in range(len(whole)):
        requests.feed(whole[number : number + 1])

    assert (requests.connections, requests.statements) == (1, 2)

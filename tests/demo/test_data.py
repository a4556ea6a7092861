from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from sync_pipelines.demo.data import TABLES, appear, load

ALL_FLIGHTS = 336_776


@pytest.fixture(scope="module")
def source(postgres_url):
    assert load(postgres_url) is True
    return postgres_url


def count(url, table):
    with psycopg.connect(url) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_every_flight_of_the_year_is_there_happened_or_to_come(source):
    assert count(source, "public.flights") + count(source, "replay.flights") == ALL_FLIGHTS
    assert all(count(source, f"public.{table.name}") > 0 for table in TABLES)


def test_loading_again_changes_nothing(source):
    before = count(source, "public.flights")

    assert load(source) is False
    assert count(source, "public.flights") == before


def test_flights_happen_in_order_and_with_their_weather(source):
    with psycopg.connect(source) as connection:
        (before,) = connection.execute("SELECT max(time_hour) FROM flights").fetchone()

    happened = appear(source, 30)

    with psycopg.connect(source) as connection:
        (after,) = connection.execute("SELECT max(time_hour) FROM flights").fetchone()
        (next_one,) = connection.execute("SELECT min(time_hour) FROM replay.flights").fetchone()
        (weather,) = connection.execute("SELECT max(time_hour) FROM weather").fetchone()
    assert happened == 30
    assert before < after <= next_one
    assert weather == after
    assert count(source, "public.flights") + count(source, "replay.flights") == ALL_FLIGHTS


def test_two_who_let_flights_happen_at_once_lose_and_double_none(source):
    with ThreadPoolExecutor(4) as pool:
        happened = sum(pool.map(lambda _: appear(source, 5), range(8)))

    assert happened == 40
    assert count(source, "public.flights") + count(source, "replay.flights") == ALL_FLIGHTS
    with psycopg.connect(source) as connection:
        doubled = connection.execute(
            "SELECT count(*) FROM replay.flights JOIN public.flights "
            "USING (time_hour, carrier, flight)"
        ).fetchone()
    assert doubled == (0,)

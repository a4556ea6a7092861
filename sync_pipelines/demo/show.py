"""Sets the demo up, lets its first sync run through Dagster, and keeps flights coming."""

import os
from collections.abc import Callable, Mapping
from importlib.resources import files
from threading import Event

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from connectors.errors import ConfigError, ConnectorError
from sync_pipelines.apply.act import apply
from sync_pipelines.apply.parse import parse_manifest
from sync_pipelines.catalog import history as histories
from sync_pipelines.catalog.history import HistoryEntry
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.syncs import find_sync
from sync_pipelines.clock import system_clock
from sync_pipelines.demo.data import appear, load
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.model.execution import Status
from sync_pipelines.model.sync import Sync
from sync_pipelines.runtime.foreground import follow

SYNC = "demo/flights"
DATABASES = {"DEMO_SOURCE_URL": "demo_airport", "DEMO_WAREHOUSE_URL": "demo_warehouse"}
SECONDS_BETWEEN_FLIGHTS = 10.0

Say = Callable[[str], None]


def prepare(catalog: Catalog, database_url: str, say: Say) -> Sync:
    """Make the demo's two databases beside the catalog's, fill the first, apply the manifest.

    All of it is skipped where it was done before.
    """
    urls = {name: _database(database_url, wanted) for name, wanted in DATABASES.items()}
    if load(urls["DEMO_SOURCE_URL"]):
        say("demo: loaded the flights of 2013 into the source database")
    text = (files("sync_pipelines.demo") / "demo.yaml").read_text()
    manifest = parse_manifest(text, file="demo.yaml", environment={**os.environ, **urls})
    apply(catalog, manifest, now=system_clock(), actor="demo")
    with catalog.begin() as db:
        return find_sync(db, catalog.secrets, SYNC)


def first_sync(catalog: Catalog, sync: Sync, watch: Callable[[HistoryEntry], None]) -> HistoryEntry:
    """Trigger the sync, as a person would, and follow it through Dagster to its end."""
    execution_id = trigger(catalog, sync, now=system_clock())
    return follow(catalog, execution_id, tenant_id=sync.tenant_id, on_look=watch)


def has_run(catalog: Catalog, sync: Sync) -> bool:
    """Whether the sync has been through at least once."""
    with catalog.begin() as db:
        entries = histories.history(db, sync.id, tenant_id=sync.tenant_id, limit=100)
    return any(entry.execution.status is Status.COMPLETED for entry in entries)


def check_arrival(sync: Sync) -> None:
    """Count both sides; `ConnectorError` naming the first table that differs."""
    source, warehouse = str(sync.source.config["url"]), str(sync.destination.config["url"])
    with psycopg.connect(source) as here, psycopg.connect(warehouse) as there:
        for stream in sync.streams:
            table = stream.table_name
            left = _count(here, sql.Identifier("public", table))
            arrived = _count(there, sql.Identifier(sync.dataset, table))
            if left != arrived:
                raise ConnectorError(f"{table}: {left} rows at the source, {arrived} arrived")


def _count(connection: psycopg.Connection, table: sql.Identifier) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(table)).fetchone()
    assert row is not None
    return int(row[0])


def keep_flying(sync: Sync, stopping: Event) -> None:
    """A flight every few seconds, until ``stopping`` is set or the year is over."""
    url = str(sync.source.config["url"])
    while not stopping.wait(SECONDS_BETWEEN_FLIGHTS):
        try:
            if appear(url, 1) == 0:
                return
        except psycopg.OperationalError:
            # The database is going down with everything else, or comes back.
            continue


def _database(url: str, name: str) -> str:
    """The URL of a database beside the one of ``url``, made if it is absent."""
    try:
        with psycopg.connect(_plain(url), autocommit=True) as connection:
            known = "SELECT FROM pg_database WHERE datname = %s"
            if connection.execute(known, [name]).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigError(
            f"the demo needs a database {name!r}, and the user of SYNC_DATABASE_URL may not "
            "create it; create it yourself, grant CREATEDB, or start with --no-demo"
        ) from error
    return make_url(url).set(database=name, drivername="postgresql").render_as_string(False)


def _plain(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def failure(entry: HistoryEntry) -> str:
    """Why the demo's sync did not get through, in one line."""
    streams: Mapping[str, Mapping[str, str]] = (entry.error_details or {}).get("streams", {})
    reasons = [f"{name}: {told['message']}" for name, told in streams.items()]
    return "; ".join(reasons) or entry.error_message or str(entry.execution.status)

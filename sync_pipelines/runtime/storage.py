"""Dagster's own tables, kept in the catalog's database under the schema ``dagster``.

Named by `dagster.yaml`. Each process keeps one small pool of connections for
runs, events and schedules together, where Dagster's stock storage opens a new
connection for nearly every statement. Of a run's events, those that are the same for
every run are not stored: they were two fifths of all that a run wrote. What Dagster
asks and says only for the sake of other versions of itself is left out too.

Law: a launch has one run, by the primary key of ``sync_launches``, whoever asks for it and
however late. A run and its tags are stored together or not at all.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, LiteralString, Self

import psycopg
from dagster import (
    DagsterEventType,
    DagsterRun,
    EventLogEntry,
    Field,
    RunsFilter,
    StringSource,
)
from dagster._config.config_schema import UserConfigSchema
from dagster._core.errors import DagsterRunAlreadyExists
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS, EngineEventData
from dagster._serdes import ConfigurableClassData
from dagster_postgres import (
    DagsterPostgresStorage,
    PostgresEventLogStorage,
    PostgresRunStorage,
    PostgresScheduleStorage,
)
from dagster_postgres.utils import set_pg_statement_timeout
from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, Connection, Engine, event, make_url, text
from sqlalchemy.exc import DBAPIError

from sync_pipelines.catalog.pinging import ping_always
from sync_pipelines.engine.run_tags import LAUNCH
from sync_pipelines.runtime.pool import pooled_engine

SCHEMA = "dagster"
PREPARATION_LOCK = 7_283_551_909
"""Key of the advisory lock under which one process makes the tables, and others wait."""


NOBODY = "nobody"
"""What nothing is called."""

_READY: dict[URL, Engine] = {}
"""Engines that know their server, and that the tables are there; see `make_ready`."""
_SEEN: set[tuple[str, str]] = set()
"""Tables that were there, by their server's URL."""

ROUTINE = frozenset(
    {
        DagsterEventType.RESOURCE_INIT_STARTED,
        DagsterEventType.RESOURCE_INIT_SUCCESS,
    }
)
ROUTINE_MESSAGES = (
    "Started process for run (pid",
    "Process for run exited (pid",
    "Executing steps in process (pid",
    "Finished steps in process (pid",
)
"""How the engine events begin that every run has. Any other says that something is unusual."""


def is_routine(event: EventLogEntry) -> bool:
    """Whether an event says nothing but that a run went its usual way."""
    told = event.dagster_event
    if told is None:
        return False
    if told.event_type is DagsterEventType.ENGINE_EVENT:
        data = told.event_specific_data
        has_error = isinstance(data, EngineEventData) and data.error is not None
        return not has_error and (told.message or "").startswith(ROUTINE_MESSAGES)
    return told.event_type in ROUTINE


class _OnOnePool:
    """A storage on a pool that it shares with the others.

    Dagster gives each storage of a webserver a pool of its own. A connection in those is
    not looked at before it is used: after a restart of the server, each breaks one request.
    """

    _engine: Engine

    def optimize_for_webserver(
        self, statement_timeout: int, pool_recycle: int, max_overflow: int
    ) -> None:
        """Bound the time of every statement, in milliseconds, and look at every connection.

        A page that breaks costs a person more than a ping costs the server.
        """
        ping_always(self._engine)
        event.listen(
            self._engine,
            "connect",
            lambda connection, _: set_pg_statement_timeout(connection, statement_timeout),
        )
        self._engine.dispose()


class LeanEventLogStorage(_OnOnePool, PostgresEventLogStorage):
    """Dagster's event log, without what is routine."""

    def has_table(self, table_name: str) -> bool:
        """Whether a table is there. Dagster asks before each use; one that was there stays."""
        table = (self.postgres_url, table_name)
        if table not in _SEEN and super().has_table(table_name):
            _SEEN.add(table)
        return table in _SEEN

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event that somebody may want to read.

        Dagster itself says NOTIFY after each, for versions that listened; its webserver asks
        for new events instead. Events of assets and checks are stored in more tables, by it.
        """
        if is_routine(event):
            return
        kind = event.dagster_event_type if event.is_dagster_event else None
        if kind in ASSET_EVENTS or kind in ASSET_CHECK_EVENTS:
            super().store_event(event)
            return
        with self._connect() as connection:
            connection.execute(self.prepare_insert_event(event))


_LAUNCHES: LiteralString = f"""
    CREATE TABLE IF NOT EXISTS {SCHEMA}.sync_launches (
        launch text PRIMARY KEY,
        run_id varchar(255) NOT NULL UNIQUE REFERENCES {SCHEMA}.runs (run_id) ON DELETE CASCADE
    )
"""
_CLAIM = text("""
    INSERT INTO sync_launches (launch, run_id) VALUES (:launch, :run_id)
    ON CONFLICT (launch) DO NOTHING RETURNING run_id
""")


class PooledScheduleStorage(_OnOnePool, PostgresScheduleStorage):
    """Dagster's schedules, sensors and their ticks."""


class OneRunStorage(_OnOnePool, PostgresRunStorage):
    """Dagster's runs, of which a launch has one for as long as that is kept."""

    _transaction: ContextVar[Connection | None] = ContextVar("transaction", default=None)

    def add_run(self, dagster_run: DagsterRun) -> DagsterRun:
        """Store a new run. `DagsterRunAlreadyExists` if its launch has one already.

        Who repeats a run in Dagster's pages repeats its tags too: that is another run of
        that launch, asked for by a person, and it finds its attempt over.
        """
        launch = dagster_run.tags.get(LAUNCH)
        with self._in_one() as connection:
            added = super().add_run(dagster_run)
            if launch is not None and dagster_run.parent_run_id is None:
                asked = {"launch": launch, "run_id": dagster_run.run_id}
                if connection.execute(_CLAIM, asked).one_or_none() is None:
                    raise DagsterRunAlreadyExists(f"the launch {launch} has a run already")
        return added

    def has_run_stats_index_cols(self) -> bool:
        """Yes, the tables were made with them. Dagster describes ``runs`` whenever it asks."""
        return True

    def connect(self) -> AbstractContextManager[Connection]:
        """A connection: that of the transaction which is under way here, if one is."""
        under_way = self._transaction.get()
        return super().connect() if under_way is None else nullcontext(under_way)

    @contextmanager
    def _in_one(self) -> Iterator[Connection]:
        """A transaction that everything belongs to which is done here meanwhile."""
        with super().connect() as pooled:
            connection = pooled.execution_options(isolation_level="READ COMMITTED")
            with connection.begin():
                token = self._transaction.set(connection)
                try:
                    yield connection
                finally:
                    self._transaction.reset(token)


class CatalogStorage(DagsterPostgresStorage):
    """Dagster's storage in the database that ``SYNC_DATABASE_URL`` names."""

    def __init__(self, database_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        url = storage_url(database_url)
        self._pool = _READY.get(url) or pooled_engine(url)
        if url not in _READY and not _has_tables(self._pool):
            with _AdvisoryLock(url) as lock:
                if not _has_tables(self._pool):
                    lock.make_schema()
                    DagsterPostgresStorage(_text(url), should_autocreate_tables=True)
                    lock.make_launches()
        # What the stock storage would make, three storages and an engine of each, is not wanted.
        super(DagsterPostgresStorage, self).__init__()  # type: ignore[no-untyped-call]
        self.postgres_url, self.should_autocreate_tables = _text(url), False
        self._inst_data = inst_data
        self._run_storage = OneRunStorage(_text(url), should_autocreate_tables=False)
        self._event_log_storage = LeanEventLogStorage(_text(url), should_autocreate_tables=False)
        self._schedule_storage = PooledScheduleStorage(_text(url), should_autocreate_tables=False)
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage._engine = self._pool

    def close(self) -> None:
        """Close the pool's idle connections; it opens new ones when asked again."""
        self._pool.dispose()

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """What stands under ``config`` in dagster.yaml."""
        return {"database_url": Field(StringSource)}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        """Dagster's way of making one."""
        return cls(config_value["database_url"], inst_data=inst_data)


def make_ready(database_url: str) -> None:
    """Meet the server, and put together what a run asks of it, for processes forked from here.

    Nothing is made, and no connection is kept.
    """
    url = storage_url(database_url)
    pool = pooled_engine(url)
    try:
        if not _has_tables(pool):
            return
        _READY[url] = pool
        storage = CatalogStorage(database_url)
        runs, events = storage.run_storage, storage.event_log_storage
        runs.get_run_records(RunsFilter(run_ids=[NOBODY]), limit=1)
        runs.has_run(NOBODY)
        events.has_dynamic_partition(NOBODY, NOBODY)
    except DBAPIError:  # whoever runs something is told
        _READY.pop(url, None)
    finally:
        pool.dispose()


def _has_tables(pool: Engine) -> bool:
    """Whether some process has made them, completely: our own is made last."""
    with pool.connect() as connection:
        return connection.scalar(text("SELECT to_regclass('sync_launches')")) is not None


def storage_url(database_url: str) -> URL:
    """The URL of Dagster's part of a database.

    psycopg 2 is named outright: SQLAlchemy 2.1 takes a bare ``postgresql://`` for
    psycopg 3, whose errors dagster-postgres does not understand.
    """
    url = make_url(database_url)
    given = url.query.get("options", "")
    options = given if isinstance(given, str) else " ".join(given)
    return url.set(drivername="postgresql+psycopg2").update_query_dict(
        {"options": f"{options} -csearch_path={SCHEMA}".strip()}
    )


class _AdvisoryLock:
    """Held while one makes the tables, and others wait."""

    def __init__(self, url: URL) -> None:
        parts: dict[str, Any] = url.translate_connect_args(username="user", database="dbname")
        parts.update(url.query)
        self._connection = psycopg.connect(make_conninfo(**parts), autocommit=True)

    def __enter__(self) -> Self:
        self._connection.execute("SELECT pg_advisory_lock(%s)", (PREPARATION_LOCK,))
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def make_schema(self) -> None:
        """Make the schema that is searched for tables, where it is not there."""
        self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")

    def make_launches(self) -> None:
        """Make our own table, beside Dagster's; the runs that were there before are not in it."""
        self._connection.execute(_LAUNCHES)


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)

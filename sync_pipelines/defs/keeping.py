"""Forgets Dagster's old runs, with their events and tags, and what was left of lost ones.

Laws: a run that holds the latest materialization of an asset or of one of its partitions
stays, or Dagster would call that partition missing; so does every run that has not ended.
A batch is one short transaction, and rows that somebody else holds are left alone.

Dagster deletes one run at a time; this does the same to many. It knows the tables of the
pinned release, in the schema that `runtime.storage` puts them in, and is tested on them.
No module of Dagster is needed for it, so that a command does not wait for their import.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection as Db
from sqlalchemy import Engine, NullPool, create_engine, text

from sync_pipelines.catalog.keeping import (
    Forgotten,
    Stop,
    forget_decisions,
    forget_events,
    forget_executions,
)
from sync_pipelines.catalog.keeping_told import forget_told
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.engine.auditing import audit_ended
from sync_pipelines.model.retention import RetentionPolicy

RUNS_A_BATCH = 200
"""With some twenty rows each."""

EVENTS_A_SLICE = 5000
TICKS_A_BATCH = 1000

TICKS_FOR = timedelta(days=31)
"""Longer than any in dagster.yaml: what is left then is of sensors that no longer exist."""

_EXISTS = text("SELECT to_regclass('dagster.runs') IS NOT NULL")

_ENDED = text("""
    SELECT id, run_id, update_timestamp AS at FROM dagster.runs
    WHERE status = :status
      AND update_timestamp < CAST(CAST(:before AS timestamptz) AS timestamp)
      AND (update_timestamp, id) > (:at, :id)
    ORDER BY update_timestamp, id LIMIT :size
""")


def _is_latest(event: str) -> str:
    """Whether no later event of its kind is about the same asset and partition."""
    same = f"n.asset_key = {event}.asset_key AND n.dagster_event_type = {event}.dagster_event_type"
    return f"""{event}.asset_key IS NOT NULL AND CASE WHEN {event}.partition IS NULL
        THEN NOT EXISTS (SELECT FROM dagster.event_logs n
                         WHERE {same} AND n.partition IS NULL AND n.id > {event}.id)
        ELSE NOT EXISTS (SELECT FROM dagster.event_logs n
                         WHERE {same} AND n.partition = {event}.partition AND n.id > {event}.id)
        END"""


_HOLDERS = text(f"""
    WITH m AS MATERIALIZED (
        SELECT id, run_id, dagster_event_type, asset_key, partition
        FROM dagster.event_logs WHERE run_id = ANY(:runs)
    )
    SELECT DISTINCT m.run_id FROM m
    WHERE m.dagster_event_type IN ('ASSET_MATERIALIZATION', 'ASSET_OBSERVATION')
      AND {_is_latest("m")}
""")

_LOCK_RUNS = text("""
    SELECT run_id FROM dagster.runs WHERE run_id = ANY(:runs) AND status = :status
    ORDER BY id FOR UPDATE SKIP LOCKED
""")

_DELETE_RUNS = (
    text("""
        DELETE FROM dagster.asset_event_tags WHERE event_id IN (
            SELECT id FROM dagster.event_logs WHERE run_id = ANY(:runs) AND dagster_event_type
                IN ('ASSET_MATERIALIZATION', 'ASSET_OBSERVATION'))
    """),
    text("DELETE FROM dagster.event_logs WHERE run_id = ANY(:runs)"),
    text("DELETE FROM dagster.runs WHERE run_id = ANY(:runs)"),
)
"""The tags of a run go with its row, by a foreign key."""

_SLICE = text(f"""
    WITH slice AS MATERIALIZED (
        SELECT id, run_id, asset_key, dagster_event_type, partition,
               timestamp < CAST(CAST(:before AS timestamptz) AS timestamp) AS old
        FROM dagster.event_logs WHERE id > :after ORDER BY id LIMIT :size
    )
    SELECT max(e.id) AS last, bool_or(e.old) AS any_old, array_agg(e.id) FILTER (
        WHERE e.old
          AND NOT EXISTS (SELECT FROM dagster.runs r WHERE r.run_id = e.run_id)
          AND NOT coalesce({_is_latest("e")}, false)) AS orphans
    FROM slice e
""")

_DELETE_EVENTS = (
    text("DELETE FROM dagster.asset_event_tags WHERE event_id = ANY(:ids)"),
    text("DELETE FROM dagster.event_logs WHERE id = ANY(:ids)"),
)

_IS_OLD_TICK = "t.timestamp < CAST(CAST(:before AS timestamptz) AS timestamp)"
_COUNT_TICKS = text(f"SELECT count(*) FROM dagster.job_ticks t WHERE {_IS_OLD_TICK}")
_DELETE_TICKS = text(f"""
    DELETE FROM dagster.job_ticks WHERE id IN (
        SELECT t.id FROM (SELECT id, timestamp FROM dagster.job_ticks ORDER BY id LIMIT :size) t
        WHERE {_IS_OLD_TICK})
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tidied:
    """What one turn of housekeeping forgot, or would."""

    executions: Forgotten
    decisions: Forgotten
    notices: Forgotten
    webhook_events: Forgotten
    runs: Forgotten
    events: Forgotten
    ticks: Forgotten

    @property
    def finished(self) -> bool:
        """Whether there was time for everything."""
        ours = (self.executions, self.decisions, self.notices, self.webhook_events)
        return all(part.finished for part in (*ours, self.runs, self.events, self.ticks))


def tidy(
    catalog: Catalog,
    policy: RetentionPolicy,
    *,
    now: datetime,
    stop: Stop,
    dry_run: bool = False,
) -> Tidied:
    """One turn of housekeeping, over the catalog and Dagster's tables beside it."""
    if not dry_run:
        audit_ended(catalog, now)
    executions = forget_executions(catalog, policy, now=now, stop=stop, dry_run=dry_run)
    decisions = forget_decisions(catalog, policy, now=now, stop=stop, dry_run=dry_run)
    notices = forget_told(catalog, policy, now=now, stop=stop, dry_run=dry_run)
    told = forget_events(catalog, policy, now=now, stop=stop, dry_run=dry_run)
    with _dagster_tables(catalog) as tables:
        if tables is None:
            nothing = Forgotten()
            return Tidied(
                executions=executions,
                decisions=decisions,
                notices=notices,
                webhook_events=told,
                runs=nothing,
                events=nothing,
                ticks=nothing,
            )
        return Tidied(
            executions=executions,
            decisions=decisions,
            notices=notices,
            webhook_events=told,
            runs=forget_runs(tables, policy, now=now, stop=stop, dry_run=dry_run),
            events=forget_orphans(tables, policy, now=now, stop=stop, dry_run=dry_run),
            ticks=forget_ticks(tables, now=now, stop=stop, dry_run=dry_run),
        )


@contextmanager
def _dagster_tables(catalog: Catalog) -> Iterator[Engine | None]:
    """An engine on Dagster's tables; None where Dagster has never been started.

    Dagster writes local times of its session's zone, the server's own. So must this
    session's be, where the catalog's is UTC.
    """
    engine = create_engine(
        catalog.engine.url,
        poolclass=NullPool,
        connect_args={"application_name": "sync-pipelines housekeeping"},
    )
    try:
        with engine.begin() as db:
            found = db.execute(_EXISTS).scalar_one()
        yield engine if found else None
    finally:
        engine.dispose()


def forget_runs(
    tables: Engine,
    policy: RetentionPolicy,
    *,
    now: datetime,
    stop: Stop,
    dry_run: bool = False,
) -> Forgotten:
    """Delete runs that ended long enough ago, a batch at a time."""
    rows = 0
    for status, kept_for in (
        ("SUCCESS", policy.runs_for),
        ("CANCELED", policy.runs_for),
        ("FAILURE", policy.failed_runs_for),
    ):
        looked_at: dict[str, Any] = {"at": datetime.min, "id": 0}  # noqa: DTZ901 as Dagster's are
        while True:
            if stop():
                return Forgotten(rows=rows, finished=False)
            with tables.begin() as db:
                asked = {"status": status, "before": now - kept_for, "size": RUNS_A_BATCH}
                found = db.execute(_ENDED, {**asked, **looked_at}).all()
                if not found:
                    break
                looked_at = {"at": found[-1].at, "id": found[-1].id}
                rows += _forget_runs(db, [row.run_id for row in found], status, dry_run=dry_run)
    return Forgotten(rows=rows)


def _forget_runs(db: Db, runs: list[str], status: str, *, dry_run: bool) -> int:
    held = set(db.scalars(_HOLDERS, {"runs": runs}))
    going = [run for run in runs if run not in held]
    if going and not dry_run:
        going = list(db.scalars(_LOCK_RUNS, {"runs": going, "status": status}))
        for statement in _DELETE_RUNS:
            db.execute(statement, {"runs": going})
    return len(going)


def forget_orphans(
    tables: Engine,
    policy: RetentionPolicy,
    *,
    now: datetime,
    stop: Stop,
    dry_run: bool = False,
) -> Forgotten:
    """Delete old events that belong to no run, of each kind, asset and partition all but the last.

    Runs that were deleted half, and events that Dagster writes outside of runs, leave them.
    """
    rows, after = 0, 0
    before = now - max(policy.runs_for, policy.failed_runs_for)
    while not stop():
        with tables.begin() as db:
            asked = {"after": after, "before": before, "size": EVENTS_A_SLICE}
            found = db.execute(_SLICE, asked).one()
            if not found.any_old:
                return Forgotten(rows=rows)
            after, orphans = found.last, found.orphans or []
            if orphans and not dry_run:
                for statement in _DELETE_EVENTS:
                    db.execute(statement, {"ids": orphans})
            rows += len(orphans)
    return Forgotten(rows=rows, finished=False)


def forget_ticks(tables: Engine, *, now: datetime, stop: Stop, dry_run: bool = False) -> Forgotten:
    """Delete ticks that Dagster's own purge does not reach, a batch at a time."""
    before = now - TICKS_FOR
    if dry_run:
        with tables.begin() as db:
            return Forgotten(rows=db.execute(_COUNT_TICKS, {"before": before}).scalar_one())
    rows = 0
    while not stop():
        with tables.begin() as db:
            went = db.execute(_DELETE_TICKS, {"before": before, "size": TICKS_A_BATCH}).rowcount
        rows += went
        if went == 0:
            return Forgotten(rows=rows)
    return Forgotten(rows=rows, finished=False)

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from connectors.contract import Committed, State, SyncMode, WriteMode
from connectors.errors import ConfigError
from sync_pipelines.catalog import audit, claims, executions, schedules, syncs
from sync_pipelines.catalog import history as histories
from sync_pipelines.catalog.secrets import SecretBox, add_key, load_keys, new_key
from sync_pipelines.catalog.store import open_catalog
from sync_pipelines.catalog.tables import (
    SCHEMA,
    AuditRow,
    Base,
    ConnectionRow,
    ExecutionRow,
    StateRow,
    SyncRow,
)
from sync_pipelines.model.execution import Request, Status, Trigger
from sync_pipelines.model.retry import RetryPolicy
from sync_pipelines.model.sync import SyncStream
from tests.world import START, World, make_catalog


def claimed(sync, schedule_id):
    return claims.Claimed(
        tenant_id=sync.tenant_id,
        sync_id=sync.id,
        schedule_id=schedule_id,
        due_at=START,
        at=START,
        trigger=Trigger.SCHEDULED,
        priority=0,
        metadata={},
    )


@pytest.fixture
def world(catalog_url):
    catalog = make_catalog(catalog_url)
    yield World(catalog)
    catalog.close()


def test_the_migrations_make_exactly_the_tables_of_the_code(world):
    """R150."""
    with world.catalog.begin() as db:
        context = MigrationContext.configure(
            db,
            opts={
                "include_schemas": True,
                "version_table_schema": SCHEMA,
                "include_name": lambda name, kind, _: kind != "schema" or name == SCHEMA,
                "compare_server_default": True,
            },
        )
        found = compare_metadata(context, Base.metadata)

    assert found == []


def test_two_processes_that_start_together_migrate_once(empty_postgres_url):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        catalogs = list(pool.map(lambda _: make_catalog(empty_postgres_url), range(4)))

    for catalog in catalogs:
        catalog.close()


def test_a_catalog_of_a_newer_version_is_refused_with_the_remedy(empty_postgres_url):
    make_catalog(empty_postgres_url).close()
    engine = create_engine(empty_postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as db:
        db.execute(text("UPDATE sync.alembic_version SET version_num = '9999'"))
    engine.dispose()

    with pytest.raises(ConfigError, match=r"9999.*newer"):
        make_catalog(empty_postgres_url)


def test_a_sync_comes_back_as_it_was_put(world):
    streams = (
        SyncStream(
            name="public.orders",
            sync_mode=SyncMode.INCREMENTAL,
            write_mode=WriteMode.UPSERT,
            cursor_field="updated_at",
            primary_key=("id",),
            columns=("id", "updated_at"),
            lag=timedelta(minutes=5),
        ),
        SyncStream(name="countries"),
    )
    retry = RetryPolicy(max_attempts=7, initial=timedelta(seconds=3), jitter=0.5)

    sync = world.sync("acme/orders", streams=streams, retry=retry)

    assert sync.streams == streams
    assert sync.retry == retry
    assert sync.key == "acme/orders"


def test_an_unknown_sync_is_refused_with_the_nearest_name(world):
    world.sync("acme/orders")

    with world.catalog.begin() as db, pytest.raises(ConfigError, match="'orders'"):
        syncs.find_sync(db, world.catalog.secrets, "acme/order")


def test_a_tenant_does_not_find_another_tenants_sync(world):
    """R127."""
    world.sync("acme/orders")
    world.sync("zeta/other")

    with world.catalog.begin() as db, pytest.raises(syncs.NotFoundError):
        syncs.find_sync(db, world.catalog.secrets, "zeta/orders")


def test_a_stranger_finds_cancels_and_lists_nothing_of_a_tenants(world):
    """R127: whatever ids a stranger knows."""
    sync, stranger = world.sync("acme/orders"), world.sync("zeta/orders").tenant_id
    world.schedule(sync, {"type": "daily", "at": "02:00"})
    with world.catalog.begin() as db:
        identity = executions.create(
            db, tenant_id=sync.tenant_id, sync_id=sync.id, trigger=Trigger.MANUAL, now=START
        )
        waiting = executions.lock_for_all_tenants(db, identity)
        executions.save(db, waiting, waiting.started(START, "run-1"))

        found = histories.find(db, identity, tenant_id=stranger)
        cancelled = executions.request_cancel(db, identity, tenant_id=stranger, now=START)
        running = executions.running(db, sync.id, tenant_id=stranger)
        active = executions.lock_active(db, sync.id, tenant_id=stranger)
        found_schedules = schedules.list_schedules(db, sync.id, tenant_id=stranger)

    assert (found, cancelled, running) == (None, False, None)
    assert (active, found_schedules) == ([], [])


def test_a_sync_cannot_use_another_tenants_connection(world):
    """R128: refused by a key of the database, whatever the code does."""
    mine, other = world.sync("acme/orders"), world.sync("zeta/orders")

    with pytest.raises(IntegrityError, match="source_id"), world.catalog.begin() as db:
        db.execute(update(SyncRow).where(SyncRow.id == mine.id).values(source_id=other.source.id))


def test_a_due_instant_of_a_schedule_is_claimed_once(world):
    sync = world.sync()
    schedule_id = world.schedule(sync, {"type": "daily", "at": "02:00"})
    claim = claimed(sync, schedule_id)

    with world.catalog.begin() as db:
        first = claims.claim(db, [claim], now=START)
        second = claims.claim(db, [claim], now=START)

    assert list(first) == [(schedule_id, START)]
    assert second == {}


def test_two_executions_of_one_sync_never_run_at_once(world):
    """R74: the second is told so, and the first goes on."""
    sync = world.sync()
    with world.catalog.begin() as db:
        for _ in range(2):
            executions.create(
                db,
                tenant_id=sync.tenant_id,
                sync_id=sync.id,
                trigger=Trigger.MANUAL,
                now=START,
            )
        one, two = executions.waiting(db, sync.id, tenant_id=sync.tenant_id)
        executions.start(db, one, one.started(START, "run-1"), now=START)

    with pytest.raises(executions.SyncBusyError), world.catalog.begin() as db:
        executions.start(db, two, two.started(START, "run-2"), now=START)

    with world.catalog.begin() as db:
        running = executions.running(db, sync.id, tenant_id=sync.tenant_id)
    assert running is not None
    assert running.id == one.id


def test_a_transition_decided_on_an_old_row_changes_nothing(world):
    sync = world.sync()
    with world.catalog.begin() as db:
        identity = executions.create(
            db, tenant_id=sync.tenant_id, sync_id=sync.id, trigger=Trigger.MANUAL, now=START
        )
        stale = executions.lock_for_all_tenants(db, identity)
        executions.save(db, stale, stale.started(START, "run-1"))

        late = executions.save(db, stale, stale.started(START, "run-2"))
        found = executions.lock_for_all_tenants(db, identity)

    assert late is False
    assert found.run_id == "run-1"


def test_an_outcome_is_stored_once(world):
    sync = world.sync()
    with world.catalog.begin() as db:
        identity = executions.create(
            db, tenant_id=sync.tenant_id, sync_id=sync.id, trigger=Trigger.MANUAL, now=START
        )
        waiting = executions.lock_for_all_tenants(db, identity)
        running = waiting.started(START, "run-1")
        executions.save(db, waiting, running)
        executions.save(db, running, running.ended(Status.COMPLETED, START))

        late = executions.save(db, running, running.ended(Status.FAILED, START))
        found = executions.lock_for_all_tenants(db, identity)

    assert late is False
    assert found.status is Status.COMPLETED


def test_history_is_paged_newest_first_and_belongs_to_its_tenant(world):
    """R106."""
    sync = world.sync()
    with world.catalog.begin() as db:
        for minute in range(5):
            executions.create(
                db,
                tenant_id=sync.tenant_id,
                sync_id=sync.id,
                trigger=Trigger.MANUAL,
                now=START + timedelta(minutes=minute),
                request=Request(full=True, streams=("orders",)),
            )

        first = histories.history(db, sync.id, tenant_id=sync.tenant_id, limit=2)
        oldest = first[-1].execution.created_at
        rest = histories.history(db, sync.id, tenant_id=sync.tenant_id, before=oldest)
        strangers = histories.history(db, sync.id, tenant_id=uuid4())

    minutes = [entry.execution.created_at.minute for entry in (*first, *rest)]
    assert minutes == [4, 3, 2, 1, 0]
    assert first[0].execution.request == Request(full=True, streams=("orders",))
    assert strangers == []


def test_deleting_a_schedule_keeps_the_history_it_made(world):
    from sync_pipelines.catalog.tables import ScheduleRow

    sync = world.sync()
    schedule_id = world.schedule(sync, {"type": "daily", "at": "02:00"})
    with world.catalog.begin() as db:
        claims.claim(db, [claimed(sync, schedule_id)], now=START)
        db.execute(delete(ScheduleRow).where(ScheduleRow.id == schedule_id))

        (entry,) = histories.history(db, sync.id, tenant_id=sync.tenant_id)

    assert entry.execution.schedule_id is None


def test_an_execution_status_outside_the_words_is_refused_by_the_database(world):
    sync = world.sync()

    with pytest.raises(IntegrityError, match="status_check"), world.catalog.begin() as db:
        db.execute(
            insert(ExecutionRow).values(
                tenant_id=sync.tenant_id, sync_id=sync.id, trigger="manual", status="done"
            )
        )


def test_the_state_mirror_keeps_the_newest(world):
    """R54."""
    sync = world.sync()
    with world.catalog.begin() as db:
        identity = executions.create(
            db, tenant_id=sync.tenant_id, sync_id=sync.id, trigger=Trigger.MANUAL, now=START
        )
        execution = executions.lock_for_all_tenants(db, identity)
        for mark in ("2026-01-01", "2026-01-02"):
            committed = Committed(
                state=State(version=1, value={"watermark": mark}), committed_at=START
            )
            executions.mirror_state(db, execution, "orders", committed)

        marks = db.scalars(select(StateRow.watermark)).all()

    assert marks == ["2026-01-02"]


def test_secrets_are_unreadable_in_the_table_and_opened_for_use(world):
    """R131, R132."""
    sync = world.sync(source={"url": "postgresql://u:hunter2@h/db"})

    with world.catalog.begin() as db:
        stored = db.execute(select(ConnectionRow.config, ConnectionRow.secrets)).all()

    assert "hunter2" not in str(stored)
    assert sync.source.config["url"] == "postgresql://u:hunter2@h/db"
    assert "hunter2" not in repr(sync)


def test_rotation_re_encrypts_every_secret_and_frees_the_old_key(empty_postgres_url):
    """R131."""
    old, new = new_key(), new_key()
    world = World(open_catalog(empty_postgres_url, SecretBox((old,))))
    world.sync(source={"url": "s3cret"})
    both = SecretBox((new, old))

    with world.catalog.begin() as db:
        rotated = syncs.rotate_secrets_for_all_tenants(db, both)
        found = syncs.find_sync(db, SecretBox((new,)), "acme/orders")
        with pytest.raises(ConfigError, match="old key"):
            syncs.find_sync(db, SecretBox((old,)), "acme/orders")

    world.catalog.close()
    assert rotated == 2
    assert found.source.config["url"] == "s3cret"


def test_a_process_that_lives_through_a_rotation_learns_the_new_key():
    old, new = new_key(), new_key()
    keys: list[tuple[str, ...]] = [(old,)]
    living = SecretBox(keys[0], reload=lambda: keys[-1])

    keys.append((new, old))
    opened = living.open(SecretBox((new,)).seal({"url": "x"}))

    assert opened == {"url": "x"}


def test_the_key_file_is_for_its_owner_only_and_survives_a_second_start(tmp_path):
    home = tmp_path / "home"

    first, second = load_keys(home, None), load_keys(home, None)
    rotated = add_key(home)

    assert first == second
    assert rotated[1:] == first
    assert load_keys(home, None) == rotated
    assert (home / "secret.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in home.iterdir()] == ["secret.key"]


def test_a_key_that_is_no_key_is_refused_with_the_remedy():
    with pytest.raises(ConfigError, match="SYNC_SECRET_KEY"):
        SecretBox(("secret",))


def test_the_audit_chain_covers_every_row_and_the_one_before(world):
    """R133."""
    with world.catalog.begin() as db:
        for number in range(3):
            audit.record(
                db,
                at=datetime(2026, 1, 1, tzinfo=UTC),
                actor="cli",
                action="sync.changed",
                subject=f"acme/{number}",
                tenant_id=None,
                after={"number": number},
            )
        rows = list(db.execute(select(AuditRow.__table__).order_by(AuditRow.id)).mappings())

    content = [{k: v for k, v in row.items() if k not in ("id", "hash")} for row in rows]
    assert [audit.digest(row) for row in content] == [row["hash"] for row in rows]
    assert [row["previous_hash"] for row in rows] == [
        audit.GENESIS,
        rows[0]["hash"],
        rows[1]["hash"],
    ]
    assert audit.digest({**content[1], "actor": "someone else"}) != rows[1]["hash"]

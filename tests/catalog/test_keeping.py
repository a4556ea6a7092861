"""What housekeeping leaves of executions and decisions, on a real database."""

from collections import Counter
from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, text
from sqlalchemy.exc import DataError

from sync_pipelines.catalog import keeping
from sync_pipelines.catalog.tables import (
    DeadLetterRow,
    DecisionRow,
    EventRow,
    ExecutionRow,
    IncidentRow,
    SummaryRow,
)
from sync_pipelines.model.execution import Status
from sync_pipelines.model.retention import ENDINGS, RetentionPolicy
from tests.world import START, World, make_catalog

POLICY = RetentionPolicy(executions_for=timedelta(days=30), successes=2, failures=1)
OLD = timedelta(days=40)


@pytest.fixture
def world(catalog_url):
    catalog = make_catalog(catalog_url)
    yield World(catalog)
    catalog.close()


@pytest.fixture(scope="module")
def shared(postgres_url):
    catalog = make_catalog(postgres_url)
    yield World(catalog)
    catalog.close()


def add(world, sync, *, status=Status.COMPLETED, ago=OLD, took=timedelta(), **fields):
    """An execution that came to be some time ago."""
    ended = (
        None if status in (Status.PENDING, Status.QUEUED, Status.RUNNING) else START - ago + took
    )
    values = {
        "id": uuid4(),
        "tenant_id": sync.tenant_id,
        "sync_id": sync.id,
        "trigger": "manual",
        "status": status,
        "created_at": START - ago,
        "completed_at": ended,
        "followed_up_at": ended,
        "duration_ms": 1500,
        "records_processed": 10,
        "bytes_moved": 100,
        **fields,
    }
    with world.catalog.begin() as db:
        db.execute(insert(ExecutionRow).values(**values))
    return values["id"]


def left(world):
    with world.catalog.begin() as db:
        return set(db.scalars(select(ExecutionRow.id)))


def forget(world, policy=POLICY, *, stop=lambda: False, dry_run=False):
    return keeping.forget_executions(world.catalog, policy, now=START, stop=stop, dry_run=dry_run)


def test_the_last_successes_and_failures_of_each_sync_are_kept_however_old(world):
    """R110."""
    kept = set()
    for key in ("acme/orders", "zeta/orders"):
        sync = world.sync(key)
        for days in (500, 499, 498):
            identity = add(world, sync, ago=timedelta(days=days))
            if days != 500:
                kept.add(identity)
        add(world, sync, ago=timedelta(days=400), status=Status.PARTIAL)
        kept.add(add(world, sync, ago=timedelta(days=399), status=Status.FAILED))
        add(world, sync, status=Status.CANCELLED)

    forgotten = forget(world)

    assert forgotten == keeping.Forgotten(rows=6, finished=True)
    assert left(world) == kept


def test_what_has_not_ended_or_has_ended_lately_is_kept(world):
    sync = world.sync()
    kept = {
        add(world, sync, status=Status.PENDING),
        add(world, sync, status=Status.QUEUED),
        add(world, sync, status=Status.RUNNING),
        add(world, sync, status=Status.CANCELLED, took=timedelta(days=11)),
        add(world, sync, status=Status.CANCELLED, followed_up_at=None),
    }

    assert forget(world).rows == 0
    assert left(world) == kept


def test_an_execution_that_something_open_names_is_kept_until_that_is_closed(world):
    sync = world.sync()
    letter, event, incident = (add(world, sync, status=Status.CANCELLED) for _ in range(3))
    tenant = {"tenant_id": sync.tenant_id}
    with world.catalog.begin() as db:
        db.execute(
            insert(DeadLetterRow).values(
                **tenant, kind="execution", execution_id=letter, cause="X", reason="x"
            )
        )
        db.execute(
            insert(EventRow).values(
                **tenant,
                source="webhook",
                platform="shop",
                event_id="1",
                event_type="order",
                status="dispatched",
                execution_id=event,
            )
        )
        db.execute(
            insert(IncidentRow).values(
                **tenant,
                kind="stuck",
                subject=sync.key,
                message="x",
                remedy="y",
                details={"execution": str(incident)},
                opened_at=START,
                last_seen_at=START,
            )
        )

    assert forget(world).rows == 0
    with world.catalog.begin() as db:
        db.execute(text("UPDATE sync.dead_letters SET status = 'discarded'"))
        db.execute(text("UPDATE sync.webhook_events SET status = 'processed'"))
        db.execute(text("UPDATE sync.incidents SET resolved_at = now()"))
    assert forget(world).rows == 3


def test_a_dry_run_counts_the_same_and_deletes_nothing(world):
    sync = world.sync()
    for days in range(31, 41):
        add(world, sync, ago=timedelta(days=days))
    before = left(world)

    counted = forget(world, dry_run=True)
    untouched = left(world)
    forgotten = forget(world)

    assert counted == forgotten == keeping.Forgotten(rows=8)
    assert untouched == before


def totals(world, sync):
    """What is known of a sync: how many ended how, and what they moved, over both tables."""
    known: Counter[tuple[object, str]] = Counter()
    with world.catalog.begin() as db:
        for row in db.execute(select(ExecutionRow.__table__)).mappings():
            day = row["completed_at"].date()
            known[day, row["status"]] += 1
            known[day, "records"] += row["records_processed"]
            known[day, "ms"] += row["duration_ms"] or 0
        for summary in keeping.summaries(db, sync.id, tenant_id=sync.tenant_id):
            known.update({(summary.day, s.value): n for s, n in summary.endings.items() if n})
            known[summary.day, "records"] += summary.records_processed
            known[summary.day, "ms"] += int(summary.duration / timedelta(milliseconds=1))
    return known


def test_interrupted_half_way_nothing_is_lost_and_nothing_is_counted_twice(world, monkeypatch):
    """The summary and the rows that are left together say what the rows said."""
    monkeypatch.setattr(keeping, "BATCH", 7)
    sync = world.sync()
    for hours in range(60):
        add(world, sync, ago=OLD + timedelta(hours=hours), records_processed=hours)
    before = totals(world, sync)
    turns = iter([False, False, False, True])  # a page, and two batches of it

    interrupted = forget(world, stop=lambda: next(turns))
    halfway = totals(world, sync)
    rest = forget(world)

    assert interrupted == keeping.Forgotten(rows=14, finished=False)
    assert halfway == before
    assert rest == keeping.Forgotten(rows=44, finished=True)
    assert totals(world, sync) == before


def test_a_batch_that_fails_changes_nothing(world, monkeypatch):
    sync = world.sync()
    # Too much for the summary of the day they ended on; they came to be on two.
    for took in (timedelta(), timedelta(days=1)):
        cancelled = {"status": Status.CANCELLED, "ago": OLD + took, "took": took}
        add(world, sync, **cancelled, bytes_moved=2**62)
    before = left(world)

    with pytest.raises(DataError, match="out of range"):
        forget(world)

    assert left(world) == before
    with world.catalog.begin() as db:
        assert db.execute(select(SummaryRow.__table__)).all() == []


def test_rows_that_somebody_holds_are_left_for_the_next_time_without_waiting(world):
    sync = world.sync()
    held, free = (add(world, sync, status=Status.CANCELLED) for _ in range(2))
    with world.catalog.begin() as db:
        db.execute(select(ExecutionRow).where(ExecutionRow.id == held).with_for_update())

        first = forget(world)
    second = forget(world)

    assert (first.rows, second.rows) == (1, 1)
    assert free not in left(world)


def test_a_sync_that_is_being_removed_is_left_alone_without_a_deadlock(world):
    sync = world.sync()
    identity = add(world, sync, status=Status.CANCELLED)
    with world.catalog.begin() as db:
        db.execute(text("SELECT 1 FROM sync.syncs FOR UPDATE"))

        forgotten = forget(world)

    assert forgotten.rows == 0
    assert left(world) == {identity}


def test_two_housekeepers_at_once_forget_each_execution_once(world, monkeypatch):
    from concurrent.futures import ThreadPoolExecutor

    monkeypatch.setattr(keeping, "BATCH", 5)
    sync = world.sync()
    for hours in range(80):
        add(world, sync, ago=OLD + timedelta(hours=hours))
    before = totals(world, sync)

    with ThreadPoolExecutor(3) as pool:
        turns = list(pool.map(lambda _: forget(world).rows, range(3)))
    turns.append(forget(world).rows)

    assert sum(turns) == 78
    assert totals(world, sync) == before


ended = st.tuples(
    st.sampled_from(sorted(ENDINGS)), st.integers(0, 100), st.integers(0, 48)
)  # status, days ago, hours it took


@given(
    history=st.lists(ended, max_size=25),
    successes=st.integers(1, 4),
    failures=st.integers(1, 4),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_database_forgets_exactly_what_the_policy_says(shared, history, successes, failures):
    policy = RetentionPolicy(successes=successes, failures=failures)
    sync = shared.sync(f"acme/s{uuid4().hex[:12]}")
    expected = set()
    rows = []
    for status, days, hours in history:
        ago, took = timedelta(days=days, hours=1), timedelta(hours=min(hours, days * 24))
        rows.append((add(shared, sync, status=status, ago=ago, took=took), status, ago, took))
    for identity, status, ago, took in rows:
        same = sorted(r[2] for r in rows if ENDINGS[r[1]] is ENDINGS[status])
        least = policy.at_least(ENDINGS[status])
        oldest = START - same[least - 1] if 0 < least <= len(same) else None
        bound = policy.bound(ENDINGS[status], now=START, oldest_kept=oldest)
        created = START - ago
        if bound.created is None or created >= bound.created or created + took >= bound.ended:
            expected.add(identity)

    forget(shared, policy)

    with shared.catalog.begin() as db:
        found = set(db.scalars(select(ExecutionRow.id).where(ExecutionRow.sync_id == sync.id)))
        db.execute(delete(ExecutionRow))
    assert found == expected


def test_old_decisions_go_but_each_schedules_last(world):
    """Why the last one did not run stays answerable, however long ago it was due."""
    sync = world.sync()
    yearly = world.schedule(sync, {"type": "daily", "at": "02:00"}, name="rare")
    often = world.schedule(sync, {"type": "daily", "at": "03:00"}, name="often")

    def decided(schedule, days):
        due = START - timedelta(days=days)
        return {
            "tenant_id": sync.tenant_id,
            "sync_id": sync.id,
            "schedule_id": schedule,
            "schedule_name": str(days),
            "due_at": due,
            "first_due_at": due,
            "outcome": "skipped",
            "reason": "x",
            "decided_at": due,
        }

    with world.catalog.begin() as db:
        rows = [decided(yearly, 500), decided(yearly, 200), decided(often, 91), decided(often, 89)]
        db.execute(insert(DecisionRow), [*rows, decided(None, 91)])

    counted = keeping.forget_decisions(
        world.catalog, POLICY, now=START, stop=lambda: False, dry_run=True
    )
    forgotten = keeping.forget_decisions(world.catalog, POLICY, now=START, stop=lambda: False)

    with world.catalog.begin() as db:
        names = set(db.scalars(select(DecisionRow.schedule_name)))
    assert counted == forgotten == keeping.Forgotten(rows=3)
    assert names == {"200", "89"}


def test_events_go_once_they_were_done_with_long_ago_and_no_others(world):
    """What waits, what is being answered and what has a dead letter stays, however old."""
    sync = world.sync()
    kept = set()
    for status, ago, stays in (
        ("processed", 40, False),
        ("ignored", 40, False),
        ("processed", 20, True),
        ("pending", 40, True),
        ("dispatched", 40, True),
        ("dead", 40, True),
    ):
        done = None if status in ("pending", "dispatched") else START - timedelta(days=ago)
        event_id = f"{status}-{ago}"
        with world.catalog.begin() as db:
            db.execute(
                insert(EventRow).values(
                    tenant_id=sync.tenant_id,
                    source="webhook",
                    platform="shop",
                    event_id=event_id,
                    event_type="order.paid",
                    status=status,
                    received_at=START - timedelta(days=45),
                    processed_at=done,
                )
            )
        if stays:
            kept.add(event_id)

    counted = keeping.forget_events(
        world.catalog, POLICY, now=START, stop=lambda: False, dry_run=True
    )
    forgotten = keeping.forget_events(world.catalog, POLICY, now=START, stop=lambda: False)

    with world.catalog.begin() as db:
        left_over = set(db.scalars(select(EventRow.event_id)))
    assert counted == forgotten == keeping.Forgotten(rows=2)
    assert left_over == kept


def test_more_old_events_than_one_batch_holds_are_gone_in_one_turn(world, monkeypatch):
    sync = world.sync()
    monkeypatch.setattr(keeping, "BATCH", 2)
    old = START - timedelta(days=40)
    values = {
        "tenant_id": sync.tenant_id,
        "source": "webhook",
        "platform": "shop",
        "event_type": "order.paid",
        "status": "processed",
        "received_at": old,
        "processed_at": old,
    }
    with world.catalog.begin() as db:
        db.execute(
            insert(EventRow),
            [{**values, "event_id": str(number)} for number in range(5)],
        )

    forgotten = keeping.forget_events(world.catalog, POLICY, now=START, stop=lambda: False)

    assert forgotten == keeping.Forgotten(rows=5)

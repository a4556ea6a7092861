"""What housekeeping leaves of executions, on a real database."""

from datetime import timedelta
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, text

from sync_pipelines.catalog import keeping
from sync_pipelines.catalog.tables import DeadLetterRow, EventRow, ExecutionRow, IncidentRow
from sync_pipelines.model.execution import Status
from sync_pipelines.model.retention import ENDINGS, RetentionPolicy
from tests.catalog.ended import add, forget, left
from tests.world import START


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

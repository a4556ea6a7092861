"""Executions counted by day, against the rows they are counted from, on a real database."""

from bisect import bisect_right
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, text, update

from sync_pipelines.catalog import reports, rollups
from sync_pipelines.catalog.rollups import BOUNDS, PLACES, estimated
from sync_pipelines.catalog.store import MIGRATIONS
from sync_pipelines.catalog.tables import ExecutionRow, SyncRow
from sync_pipelines.model.execution import Status
from tests.catalog.days import SUMMED, add, counted, expected, row
from tests.world import START, World, make_catalog

statuses = st.sampled_from(sorted(Status))
durations = st.none() | st.integers(0, 200) | st.integers(0, 2 * BOUNDS[-1])
whens = st.integers(0, 2 * 24 * 60).map(lambda minutes: timedelta(minutes=minutes))
numbers = st.integers(0, 1000)
executions = st.fixed_dictionaries(
    {
        "status": statuses,
        "ago": whens,
        "duration_ms": durations,
        "attempt": st.integers(1, 3),
        **dict.fromkeys(SUMMED, numbers),
    }
)
changes = st.one_of(
    st.builds(lambda status, ms: {"status": status, "duration_ms": ms}, statuses, durations),
    st.builds(lambda number: {"records_processed": number}, numbers),
    st.builds(lambda ago: {"created_at": START - ago}, whens),
    st.just({"followed_up_at": START}),
    st.none(),  # it is deleted
)
histories = st.tuples(
    st.lists(st.tuples(st.booleans(), executions), max_size=20),
    st.lists(st.tuples(st.integers(0, 19), changes), max_size=15),
)
many = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def happen(shared, history):
    """A tenant of its own with two syncs to which a history happened; the tenant's id."""
    tenant = f"t{uuid4().hex[:12]}"
    syncs = {flag: shared.sync(f"{tenant}/{name}") for flag, name in ((True, "a"), (False, "b"))}
    made, changed = history
    rows = [row(syncs[flag], **execution) for flag, execution in made]
    with shared.catalog.begin() as db:
        if rows:
            add(db, *rows)
        for place, values in changed:
            if not rows:
                continue
            which = ExecutionRow.id == rows[place % len(rows)]["id"]
            if values is None:
                db.execute(delete(ExecutionRow).where(which))
            elif values.get("status") != Status.RUNNING:  # of which a sync has one
                db.execute(update(ExecutionRow).where(which).values(**values))
    return syncs[True].tenant_id


def one_running(history):
    made, _ = history
    return all(
        sum(of is flag and one["status"] == Status.RUNNING for of, one in made) <= 1
        for flag in (True, False)
    )


@given(history=histories.filter(one_running))
@many
def test_the_days_say_what_the_rows_say_whatever_happens_to_them(shared, history):
    """R111."""
    tenant_id = happen(shared, history)

    with shared.catalog.begin() as db:
        assert counted(db, tenant_id) == expected(db, tenant_id)


@given(history=histories.filter(one_running), since=whens, long=whens)
@many
def test_a_report_out_of_days_is_the_report_of_the_rows(shared, history, since, long):
    """R111: but for percentiles, which are within a fifth."""
    tenant_id = happen(shared, history)
    start = START - since - timedelta(hours=1)
    span = {"tenant_id": tenant_id, "start": start, "end": start + long + timedelta(seconds=1)}

    with shared.catalog.begin() as db, pytest.MonkeyPatch.context() as patch:
        exact = reports.report(db, **span)
        patch.setattr(reports, "MOST_EXACT", -1)
        quick = reports.report(db, **span)

    assert (exact.percentiles_exact, quick.percentiles_exact) == (True, False)
    assert rough(quick.totals) == rough(exact.totals)
    assert [rough(one) for one in quick.syncs] == [rough(one) for one in exact.syncs]


def rough(totals):
    """Totals without their percentiles; only whether there are such."""
    names = ("duration_ms_p50", "duration_ms_p95", "duration_ms_p99")
    return replace(totals, **{name: getattr(totals, name) is None for name in names})


@given(
    took=st.lists(st.integers(16, BOUNDS[-1] - 1), min_size=1, max_size=60),
    percent=st.sampled_from([50, 95, 99]),
)
def test_an_estimated_percentile_is_within_a_fifth_of_the_one_of_its_rank(took, percent):
    counts = Counter(bisect_right(BOUNDS, one) for one in took)
    rank = -(-len(took) * percent // 100)
    exact = sorted(took)[rank - 1]

    found = estimated([counts[place] for place in range(PLACES)], percent, longest=max(took))

    assert found == pytest.approx(exact, rel=0.2)
    assert found <= max(took)


def test_percentiles_of_nothing_are_nothing_and_of_the_very_long_no_more_than_the_longest():
    very_long = [0] * (PLACES - 1) + [3]

    assert estimated([0] * PLACES, 50, longest=None) is None
    assert BOUNDS[-1] < estimated(very_long, 99, longest=3 * BOUNDS[-1]) <= 3 * BOUNDS[-1]


def test_the_database_gives_durations_the_places_that_are_read_here(shared):
    near = sorted({bound + step for bound in BOUNDS for step in (-1, 0, 1)} | {0, 2**62})

    with shared.catalog.begin() as db:
        found = db.execute(
            text("SELECT array_agg(sync.duration_place(ms) ORDER BY ms) FROM unnest(:near) ms"),
            {"near": near},
        ).scalar_one()

    assert found == [bisect_right(BOUNDS, ms) + 1 for ms in near]


def test_what_ends_is_added_to_its_day_with_a_duration_or_without(shared, sync):
    timed, untimed = (row(sync, status=Status.PENDING, duration_ms=None) for _ in range(2))
    ends = {timed["id"]: ("completed", 20), untimed["id"]: ("failed", None)}
    with shared.catalog.begin() as db:
        add(db, row(sync), timed, untimed)

        for which, (status, took) in ends.items():
            ending = update(ExecutionRow).where(ExecutionRow.id == which)
            db.execute(ending.values(status=status, duration_ms=took))

        ((_, day),) = counted(db, sync.tenant_id).items()
        assert (day["completed"], day["failed"], sum(day["durations"])) == (2, 1, 2)
        assert counted(db, sync.tenant_id) == expected(db, sync.tenant_id)


def test_what_is_rolled_back_has_counted_nothing(shared, sync):
    waiting = row(sync, status=Status.PENDING, duration_ms=None)
    with shared.catalog.begin() as db:
        add(db, waiting)

    with shared.catalog.engine.connect() as db:
        db.execute(update(ExecutionRow).values(status="failed"))
        db.rollback()

    with shared.catalog.begin() as db:
        assert counted(db, sync.tenant_id) == {}


def test_a_sync_that_is_removed_takes_its_days_with_it(shared, sync):
    with shared.catalog.begin() as db:
        add(db, row(sync), row(sync, ago=timedelta(days=3)))

        db.execute(delete(SyncRow).where(SyncRow.id == sync.id))

        assert counted(db, sync.tenant_id) == {}


def test_a_tenant_reads_its_days_and_cannot_write_them(shared, sync):
    """R127: the gateway ends executions too, and only the database counts them."""
    waiting = row(sync, status=Status.PENDING)
    with shared.catalog.begin() as db:
        add(db, waiting)

    with shared.catalog.as_tenant(sync.tenant_id).begin() as db:
        db.execute(update(ExecutionRow).values(status="cancelled"))
        ((_, day),) = counted(db, sync.tenant_id).items()

    assert (day["cancelled"], day["durations"][bisect_right(BOUNDS, 1500)]) == (1, 1)


def test_what_there_was_before_is_counted_when_the_table_is_made(empty_postgres_url):
    world = World(make_catalog(empty_postgres_url))
    sync, other = world.sync("acme/orders"), world.sync("acme/units")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    script = ScriptDirectory.from_config(config)
    (made,) = (one for one in script.walk_revisions() if "counted by day" in one.doc)
    with world.catalog.begin() as db:
        add(
            db,
            row(sync),
            row(other, status="failed", duration_ms=None),
            row(sync, ago=timedelta(9)),
        )
        add(db, row(sync, status=Status.RUNNING), row(sync, duration_ms=BOUNDS[-1]))

        config.attributes["connection"] = db
        command.downgrade(config, str(made.down_revision))
        command.upgrade(config, "head")

        found, wanted = counted(db, sync.tenant_id), expected(db, sync.tenant_id)
    world.catalog.close()
    assert found == wanted
    assert len(found) == 3


def test_a_dashboard_shows_a_week_day_by_day_and_what_goes_on(shared, sync):
    """R113."""
    shared.schedule(sync, {"type": "daily", "at": "02:00"})
    shared.schedule(sync, {"type": "hourly"}, name="off", is_active=False)
    with shared.catalog.begin() as db:
        add(db, row(sync), row(sync, status="partial"), row(sync, status="cancelled"))
        add(db, *(row(sync, ago=timedelta(days=days)) for days in (6, 7)))
        add(db, row(sync, status=Status.PENDING), row(sync, status=Status.RUNNING))

        found = rollups.dashboard(db, tenant_id=sync.tenant_id, now=START)

    assert [one.completed for one in found.days] == [1, 0, 0, 0, 0, 0, 1]
    assert (found.days[0].success_rate, found.days[1].success_rate) == (1.0, None)
    today = found.days[-1]
    assert (today.day, today.partial, today.cancelled) == (START.date(), 1, 1)
    assert (today.success_rate, today.records_processed) == (0.5, 30)
    assert (found.pending, found.queued, found.running) == (1, 0, 1)
    assert (found.schedules_active, found.schedules_paused) == (1, 1)
    assert found.next_run_at is not None

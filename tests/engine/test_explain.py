"""Why did it run, and why did it not."""

from datetime import timedelta

from sqlalchemy import delete

from sync_pipelines.catalog import decisions
from sync_pipelines.catalog.scheduled import find_scheduled, seen_sync
from sync_pipelines.catalog.tables import DecisionRow
from sync_pipelines.engine import steering
from sync_pipelines.engine.answers import Verdict
from sync_pipelines.engine.deciding import decide_before_change
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.engine.explain import besides
from sync_pipelines.model.execution import Status
from tests.engine.asking import EDMONTON, QUARTER, asked, end, pause, turn
from tests.world import START


def test_what_ran_is_told_with_its_outcome_in_the_schedules_zone_and_utc(world):
    """R106, R107."""
    world.schedule(world.sync(), {"type": "daily", "at": "05:00"}, timezone=EDMONTON)
    (execution_id,) = turn(world)
    world.clock.advance(seconds=12)
    end(world, execution_id)

    found = asked(world, START)

    assert found.verdict is Verdict.RAN
    assert found.due_at == START
    assert found.answer == (
        "It ran at 2026-03-02 05:00 (Edmonton; 12:00 UTC): on time; "
        "completed at 2026-03-02 05:00:12 (Edmonton; 12:00:12 UTC), 0 records."
    )
    assert found.execution.execution.id == execution_id
    assert not found.is_forecast


def test_what_failed_says_why(world):
    world.schedule(world.sync(), {"type": "daily", "at": "12:00"})
    (execution_id,) = turn(world)
    end(world, execution_id, Status.FAILED, error="no such table: orders")

    found = asked(world, START)

    assert found.verdict is Verdict.RAN
    assert "failed at 2026-03-02 12:00 UTC: no such table: orders" in found.answer


def test_what_overlapped_did_not_run_and_says_so(world):
    """R74, R94."""
    world.schedule(world.sync(), {"type": "every", "minutes": 15})
    turn(world)
    world.clock.advance(minutes=15)
    turn(world)

    found = asked(world, START + QUARTER)

    assert found.verdict is Verdict.DID_NOT_RUN
    assert found.answer == (
        "It did not run at 2026-03-02 12:15 UTC: overlap: the execution before it had not ended."
    )
    assert found.before.due_at == START
    assert found.before.verdict is Verdict.RAN


def test_an_instant_that_was_not_expected_names_those_before_and_after(world):
    world.schedule(world.sync(), {"type": "every", "minutes": 15})
    (execution_id,) = turn(world)
    end(world, execution_id)
    world.clock.advance(minutes=20)
    turn(world)

    found = asked(world, START + timedelta(minutes=7))

    assert found.verdict is Verdict.NOT_EXPECTED
    assert found.due_at is None
    assert found.answer == (
        "Nothing was expected at 2026-03-02 12:07 UTC: its schedule reads 'Every 15 minutes'."
    )
    assert (found.before.due_at, found.before.verdict) == (START, Verdict.RAN)
    assert (found.after.due_at, found.after.verdict) == (START + QUARTER, Verdict.RAN)


def test_any_second_of_its_minute_means_an_instant(world):
    world.schedule(world.sync(), {"type": "every", "minutes": 15})
    turn(world)

    assert asked(world, START + timedelta(seconds=59)).due_at == START
    assert asked(world, START + timedelta(seconds=60)).due_at is None
    assert asked(world, START - timedelta(seconds=1)).due_at is None


def test_a_pause_answers_with_who_and_since_when_before_and_after_it_is_recorded(world):
    """R25, R133."""
    world.schedule(world.sync(), {"type": "every", "minutes": 15}, timezone=EDMONTON)
    (execution_id,) = turn(world)
    end(world, execution_id)
    world.clock.advance(minutes=1)
    pause(world, "stocktaking")
    world.clock.advance(hours=2)

    unrecorded = asked(world, START + QUARTER)
    with world.catalog.begin() as db:
        one = find_scheduled(db, "acme/orders/main")
        steering.resume_schedule(db, one.schedule, now=world.clock())
    recorded = asked(world, START + 3 * QUARTER)

    who = "paused: stocktaking, by cli:ana since 2026-03-02 05:01 (Edmonton; 12:01 UTC)"
    assert unrecorded.verdict is recorded.verdict is Verdict.DID_NOT_RUN
    assert unrecorded.answer == (
        f"It did not run at 2026-03-02 05:15 (Edmonton; 12:15 UTC): {who}; "
        "that is recorded when the schedule wakes."
    )
    assert unrecorded.is_forecast
    assert recorded.answer == (
        f"It did not run at 2026-03-02 05:45 (Edmonton; 12:45 UTC): {who} (like all 8 instants "
        "from 2026-03-02 05:15 (Edmonton; 12:15 UTC) to 2026-03-02 07:00 (Edmonton; 14:00 UTC))."
    )
    assert not recorded.is_forecast


def test_between_the_instants_of_a_recorded_run_nothing_was_expected(world):
    world.schedule(world.sync(), {"type": "every", "minutes": 15})
    pause(world, "stocktaking")
    world.clock.advance(hours=2)
    with world.catalog.begin() as db:
        one = find_scheduled(db, "acme/orders/main")
        decide_before_change(db, [one.schedule.id], world.clock())

    found = asked(world, START + timedelta(minutes=37))

    assert found.verdict is Verdict.NOT_EXPECTED
    assert found.before.due_at == START + 2 * QUARTER
    assert found.before.verdict is Verdict.DID_NOT_RUN
    assert found.after.due_at == START + 3 * QUARTER


def test_a_collapsed_instant_names_the_execution_that_stood_for_it(world):
    """R92."""
    world.schedule(world.sync(), {"type": "every", "minutes": 15})
    world.clock.advance(hours=1)
    (execution_id,) = turn(world)
    end(world, execution_id)

    found = asked(world, START)

    assert found.verdict is Verdict.DID_NOT_RUN
    assert "one execution stands for all that were: that of 2026-03-02 13:00 UTC" in found.answer
    assert "completed at 2026-03-02 13:00 UTC" in found.answer


def test_a_record_is_believed_though_the_schedule_has_other_instants_now(world):
    sync = world.sync()
    world.schedule(sync, {"type": "every", "minutes": 15})
    pause(world, "stocktaking")
    world.clock.advance(hours=2)
    with world.catalog.begin() as db:
        one = find_scheduled(db, "acme/orders/main")
        decide_before_change(db, [one.schedule.id], world.clock())
    daily = {"type": "daily", "at": "13:10"}
    world.schedule(sync, daily, created_at=START, decided_until=world.clock())

    covered = asked(world, START + QUARTER)

    assert covered.verdict is Verdict.DID_NOT_RUN
    assert "paused: stocktaking" in covered.answer


def test_a_decision_that_is_not_kept_any_more_is_not_made_up(world):
    world.schedule(world.sync(), {"type": "every", "minutes": 15})
    (execution_id,) = turn(world)
    end(world, execution_id)
    with world.catalog.begin() as db:
        db.execute(delete(DecisionRow))

    found = asked(world, START)

    assert found.verdict is Verdict.NOT_RECORDED


def test_what_no_schedule_started_is_told_besides(world):
    """R38."""
    sync = world.sync()
    world.schedule(sync, {"type": "daily"})
    execution_id = trigger(world.catalog, sync, now=START, queued=True)

    with world.catalog.begin() as db:
        seen = seen_sync(db, "acme/orders")
        at_once = besides(db, seen, at=START)
        later = besides(db, seen, at=START + timedelta(hours=1))
        before = besides(db, seen, at=START - timedelta(minutes=1))

    assert [entry.execution.id for entry in at_once] == [execution_id]
    assert [entry.execution.id for entry in later] == [execution_id]
    assert before == []


def test_asking_changes_nothing(world):
    sync = world.sync()
    world.schedule(sync, {"type": "every", "minutes": 15})
    world.clock.advance(hours=1)

    asked(world, START)

    with world.catalog.begin() as db:
        assert decisions.of_sync(db, sync.id, tenant_id=sync.tenant_id) == []

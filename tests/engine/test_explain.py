"""Why did it run, why did it not, and will it."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import delete

from sync_pipelines.catalog import audit, breakers, decisions, executions
from sync_pipelines.catalog.scheduled import find_scheduled, seen_sync
from sync_pipelines.catalog.tables import DecisionRow
from sync_pipelines.engine import steering
from sync_pipelines.engine.answers import Verdict
from sync_pipelines.engine.deciding import decide_before_change
from sync_pipelines.engine.dispatch import claim_due, trigger
from sync_pipelines.engine.explain import besides, explain
from sync_pipelines.engine.timetables import timetable_of
from sync_pipelines.model.breaker import Breaker
from sync_pipelines.model.execution import Status
from sync_pipelines.model.policy import Pause, parse_policies
from tests.world import START

QUARTER = timedelta(minutes=15)
EDMONTON = "America/Edmonton"


def asked(world, at, *, key="acme/orders/main"):
    with world.catalog.begin() as db:
        return explain(db, find_scheduled(db, key), at=at, now=world.clock())


def turn(world):
    """One turn of the dispatcher; what it launches starts at once."""
    launched = claim_due(world.catalog, "database", world.clock(), tick=str(world.clock()))
    with world.catalog.begin() as db:
        for launch in launched:
            found = executions.lock_for_all_tenants(db, launch.execution_id)
            executions.save(db, found, found.started(world.clock(), None))
    return [launch.execution_id for launch in launched]


def end(world, execution_id, status=Status.COMPLETED, error=None):
    with world.catalog.begin() as db:
        found = executions.lock_for_all_tenants(db, execution_id)
        executions.save(db, found, found.ended(status, world.clock()), error_message=error)


def pause(world, reason, *, by="cli:ana", **fields):
    with world.catalog.begin() as db:
        one = find_scheduled(db, "acme/orders/main")
        steering.pause_schedule(db, one.schedule, Pause(reason=reason, **fields), now=world.clock())
        audit.record(
            db,
            at=world.clock(),
            actor=by,
            action="schedule.paused",
            subject=one.key,
            tenant_id=one.schedule.tenant_id,
            before={"is_active": True, "policies": {}},
            after={"is_active": True, "policies": {"pause": {"reason": reason}}},
        )


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


def test_a_paused_sync_answers_for_its_schedules(world):
    sync = world.sync()
    world.schedule(sync, {"type": "daily"})
    with world.catalog.begin() as db:
        steering.pause_sync(
            db, sync.id, tenant_id=sync.tenant_id, reason="moving house", now=world.clock()
        )

    found = asked(world, datetime(2026, 3, 3, 2, tzinfo=UTC))

    assert found.verdict is Verdict.WILL_NOT_RUN
    assert found.answer.startswith("It will not run at 2026-03-03 02:00 UTC: paused: moving house")


def test_what_is_to_come_is_a_forecast_that_says_so(world):
    """R12."""
    world.schedule(world.sync(), {"type": "daily"}, timezone=EDMONTON)

    found = asked(world, datetime(2026, 3, 3, 9, tzinfo=UTC))

    assert found.verdict is Verdict.WILL_RUN
    assert found.is_forecast
    assert found.answer == (
        "It will run at 2026-03-03 02:00 (Edmonton; 09:00 UTC), unless the execution before it "
        "has not ended then (a forecast, as things stand now)."
    )


def test_a_blackout_and_an_open_breaker_are_foreseen(world):
    """R88."""
    sync = world.sync()
    policies = parse_policies({"blackouts": [{"from": "2026-03-04"}]})
    world.schedule(sync, {"type": "daily"}, policies=policies)
    opened = Breaker(failures=10, opened_at=START, probe_at=START + timedelta(days=1))
    with world.catalog.begin() as db:
        breakers.put(db, sync.id, opened, tenant_id=sync.tenant_id)

    barred = asked(world, datetime(2026, 3, 3, 2, tzinfo=UTC))
    black = asked(world, datetime(2026, 3, 4, 2, tzinfo=UTC))
    free = asked(world, datetime(2026, 3, 5, 2, tzinfo=UTC))

    assert "breaker open: the last 10 executions failed" in barred.answer
    assert "blackout: 2026-03-04" in black.answer
    assert [one.verdict for one in (barred, black, free)] == [
        Verdict.WILL_NOT_RUN,
        Verdict.WILL_NOT_RUN,
        Verdict.WILL_RUN,
    ]


def test_the_hour_that_does_not_exist_is_explained(world):
    """R14, trap T2."""
    world.schedule(world.sync(), {"type": "daily"}, timezone=EDMONTON)

    found = asked(world, datetime(2026, 3, 8, 9, tzinfo=UTC))

    assert found.answer.startswith("It will run at 2026-03-08 03:00 (Edmonton; 09:00 UTC)")
    assert found.note == (
        "02:00 does not exist on 2026-03-08: clocks go forward from 02:00 to 03:00; "
        "fires once, right after"
    )


def test_an_instant_is_found_by_when_its_spread_starts_it(world):
    policies = parse_policies({"spread": "12h"})
    world.schedule(world.sync(), {"type": "monthly"}, policies=policies)
    due_at = datetime(2026, 4, 1, 2, tzinfo=UTC)
    with world.catalog.begin() as db:
        schedule = find_scheduled(db, "acme/orders/main").schedule
    start = due_at + timetable_of(schedule, pause=None).offset

    by_due, by_start = asked(world, due_at), asked(world, start)

    assert by_due.due_at == by_start.due_at == due_at
    assert f"by its spread from {start:%Y-%m-%d %H:%M} UTC" in by_due.answer


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


def test_what_nobody_has_dispatched_says_to_look_at_the_dispatcher(world):
    world.schedule(world.sync(), {"type": "every", "minutes": 15})
    world.clock.advance(hours=1)

    found = asked(world, START + QUARTER)

    assert found.verdict is Verdict.UNDECIDED
    assert "nothing has decided on it yet; is `sync-pipelines up` running" in found.answer
    assert found.is_forecast


def test_no_clock_starts_an_event_schedule_or_a_manual_one(world):
    """R5, R6."""
    sync = world.sync()
    world.schedule(sync, {"type": "event", "trigger": "webhook"}, name="hook")
    world.schedule(sync, {"type": "manual"}, name="hand")

    hook = asked(world, START, key="acme/orders/hook")
    hand = asked(world, START, key="acme/orders/hand")

    assert hook.verdict is hand.verdict is Verdict.NOT_EXPECTED
    assert "no clock starts it, it waits for webhooks" in hook.answer
    assert "runs only when somebody triggers it" in hand.answer
    assert (hook.before, hook.after) == (None, None)


def test_before_it_was_made_nothing_was_expected(world):
    world.schedule(world.sync(), {"type": "daily"}, created_at=START)

    found = asked(world, START - timedelta(days=1, hours=10))

    assert found.verdict is Verdict.NOT_EXPECTED
    assert "the schedule was made only at 2026-03-02 12:00 UTC" in found.answer
    assert found.before is None
    assert found.after.due_at == datetime(2026, 3, 3, 2, tzinfo=UTC)


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

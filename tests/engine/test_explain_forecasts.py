"""Will it run: forecasts, and what no clock starts."""

from datetime import UTC, datetime, timedelta

from sync_pipelines.catalog import breakers
from sync_pipelines.catalog.scheduled import find_scheduled
from sync_pipelines.engine import steering
from sync_pipelines.engine.answers import Verdict
from sync_pipelines.engine.timetables import timetable_of
from sync_pipelines.model.breaker import Breaker
from sync_pipelines.model.policy import parse_policies
from tests.engine.asking import EDMONTON, QUARTER, asked
from tests.world import START


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

from datetime import timedelta
from itertools import pairwise

import pytest

from sync_pipelines.catalog import schedules
from sync_pipelines.engine.aftermath import follow_up, follow_up_left_behind
from sync_pipelines.engine.dispatch import claim_due, trigger
from sync_pipelines.engine.steering import pause_schedule, resume_schedule
from sync_pipelines.model.execution import Request, Status, Trigger
from sync_pipelines.model.policy import Pause
from sync_pipelines.timing.decisions import Outcome
from tests.engine.ending import decided_of, end, executions_of, finish, start
from tests.world import START

ADAPTIVE = {"type": "adaptive", "least": "15m", "most": "6h"}


def scheduled(world):
    with world.catalog.begin() as db:
        return schedules.find_schedule(db, "acme/orders/main")


def check(world, *, changes=0):
    """Wait until the schedule is due, and let its execution find so many changes."""
    world.clock.now = max(world.clock(), scheduled(world).next_run_at)
    (launch,) = claim_due(world.catalog, "database", world.clock(), tick=str(world.clock()))
    world.clock.advance(minutes=1)
    end(world, launch.execution_id, changes=changes)
    return scheduled(world)


def triggered(world, sync, **asked):
    return trigger(world.catalog, sync, now=world.clock(), request=Request(**asked))


def test_an_interval_grows_while_nothing_is_found_up_to_its_most(world):
    """R15, R16, R19."""
    world.schedule(world.sync(), ADAPTIVE)

    learned = [check(world).learned for _ in range(12)]

    minutes = [one.minutes for one in learned]
    assert minutes[0] > 15
    assert minutes == sorted(minutes)
    assert minutes[-1] == 360
    assert learned[0].reason.startswith("The only check found nothing: every ")
    assert learned[-1].reason.endswith("it stays at every 6 hours, its most.")


def test_an_interval_shrinks_as_soon_as_changes_are_found_down_to_its_least(world):
    world.schedule(world.sync(), ADAPTIVE)
    for _ in range(12):
        quiet = check(world).learned

    learned = [check(world, changes=40).learned for _ in range(40)]

    assert learned[0].minutes < quiet.minutes
    assert learned[-1].minutes == 15
    assert "found changes, the latest too (about 40 rows each)" in learned[0].reason


def test_the_new_interval_counts_from_the_last_instant_that_was_due(world):
    world.schedule(world.sync(), ADAPTIVE)

    first = check(world)
    second = check(world)

    assert first.learned.since == START
    assert first.next_run_at == START + timedelta(minutes=first.learned.minutes)
    assert second.learned.since == first.next_run_at
    assert second.next_run_at == first.next_run_at + timedelta(minutes=second.learned.minutes)


def test_no_instant_before_now_fires_again_when_the_interval_shrinks(world):
    """An execution that took longer than the new interval ends after some of its instants."""
    sync = world.sync()
    world.schedule(sync, ADAPTIVE)
    for _ in range(12):
        check(world)
    world.clock.now = scheduled(world).next_run_at
    (launch,) = claim_due(world.catalog, "database", world.clock(), tick="slow")
    start(world, launch.execution_id)
    world.clock.advance(hours=5, minutes=59)
    before = executions_of(world, sync)

    end(world, launch.execution_id, changes=1)
    launches = claim_due(world.catalog, "database", world.clock(), tick="after")

    after = scheduled(world)
    assert launches == []
    assert len(executions_of(world, sync)) == len(before)
    assert after.learned.minutes < 360
    assert after.next_run_at > world.clock()


def test_what_was_due_at_the_old_interval_is_decided_on_before_the_new_one_counts(world):
    """Nobody dispatched while a person's execution ran: the instant in it is not forgotten."""
    sync = world.sync()
    world.schedule(sync, ADAPTIVE)
    check(world)
    due_at = scheduled(world).next_run_at
    by_hand = triggered(world, sync)
    start(world, by_hand)
    world.clock.now = due_at + timedelta(minutes=2)

    end(world, by_hand)

    last = decided_of(world, sync)[-1]
    assert last.decision.due_at == due_at
    assert last.decision.outcome is Outcome.RUN
    assert scheduled(world).learned.since == due_at


def test_what_a_person_triggered_looked_too(world):
    sync = world.sync()
    world.schedule(sync, ADAPTIVE)
    before = check(world)

    world.clock.advance(minutes=2)
    end(world, triggered(world, sync))

    assert scheduled(world).learned.minutes > before.learned.minutes


@pytest.mark.parametrize(
    "asked", [{"full": True}, {"streams": ("orders",)}, {"window_start": "2026-01-01"}]
)
def test_reading_again_what_is_known_teaches_nothing(world, asked):
    sync = world.sync()
    world.schedule(sync, ADAPTIVE)
    before = check(world)

    end(world, triggered(world, sync, **asked), changes=1000)
    kept = scheduled(world)
    world.clock.advance(minutes=1)
    after = check(world)

    assert kept.learned == before.learned
    assert after.learned.reason.startswith("0 of the last 2 checks found changes")


@pytest.mark.parametrize("status", [Status.FAILED, Status.PARTIAL, Status.CANCELLED])
def test_what_did_not_succeed_teaches_nothing(world, status):
    sync = world.sync()
    world.schedule(sync, ADAPTIVE)
    before = check(world)

    first = triggered(world, sync)
    start(world, first)
    end(world, first, status, changes=7)

    assert scheduled(world).learned == before.learned


def test_a_crash_before_the_follow_up_neither_loses_nor_doubles_the_lesson(world):
    sync = world.sync()
    world.schedule(sync, ADAPTIVE)
    first = triggered(world, sync)
    finish(world, first)

    world.clock.advance(minutes=1)
    follow_up_left_behind(world.catalog, world.clock())
    once = scheduled(world).learned
    follow_up(world.catalog, first, world.clock())

    assert once is not None
    assert scheduled(world).learned == once


def test_a_paused_schedule_learns_and_stays_paused(world):
    sync = world.sync()
    world.schedule(sync, ADAPTIVE)
    before = check(world)
    with world.catalog.begin() as db:
        pause_schedule(db, scheduled(world), Pause(reason="stocktaking"), now=world.clock())

    world.clock.advance(minutes=2)
    end(world, triggered(world, sync))
    paused = scheduled(world)
    with world.catalog.begin() as db:
        resume_schedule(db, paused, now=world.clock())

    assert paused.learned.minutes > before.learned.minutes
    assert paused.next_run_at is None
    assert scheduled(world).next_run_at > world.clock()


def test_other_schedules_of_the_sync_stay_as_they_are(world):
    sync = world.sync()
    world.schedule(sync, ADAPTIVE)
    world.schedule(sync, {"type": "daily"}, name="nightly")
    with world.catalog.begin() as db:
        before = schedules.find_schedule(db, "acme/orders/nightly")

    end(world, triggered(world, sync))

    with world.catalog.begin() as db:
        after = schedules.find_schedule(db, "acme/orders/nightly")
    assert after == before


def test_every_instant_of_a_week_has_its_decision_while_the_interval_changes(world):
    """Law 5 holds across changes of the interval: no two decisions share an instant."""
    sync = world.sync()
    world.schedule(sync, ADAPTIVE)

    for number in range(60):
        check(world, changes=int(number % 7 == 0))

    decided = [one.decision.due_at for one in decided_of(world, sync)]
    ran = [one.due_at for one in executions_of(world, sync) if one.trigger is Trigger.SCHEDULED]
    gaps = [late - early for early, late in pairwise(decided)]
    assert len(set(decided)) == len(decided) == 60
    assert sorted(ran) == decided
    assert all(timedelta(minutes=15) <= gap <= timedelta(hours=6) for gap in gaps)

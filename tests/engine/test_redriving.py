"""A letter that is tried again makes one execution; one that is discarded is closed for good."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import select

from sync_pipelines.catalog import history, tenants
from sync_pipelines.catalog.tables import ExecutionRow
from sync_pipelines.engine.aftermath import follow_up_left_behind
from sync_pipelines.engine.dead_letters import discard
from sync_pipelines.engine.dispatch import LimitReachedError, ready
from sync_pipelines.engine.settle import cancel
from sync_pipelines.model.dead_letter import LetterStatus
from sync_pipelines.model.execution import Request, Status, Trigger
from sync_pipelines.model.limits import TenantLimits
from tests.engine.letters import again, letters
from tests.engine.settling import end, run


def waiting(world):
    with world.catalog.begin() as db:
        query = select(ExecutionRow.id).where(ExecutionRow.status == Status.PENDING)
        return set(db.scalars(query))


def test_letters_that_ask_for_the_same_become_one_execution(world):
    """R90: redrive many; one execution for each distinct request."""
    sync = world.sync()
    for _ in range(3):
        run(world, sync)
    run(world, sync, full=True)

    done = again(world, sync)

    after = letters(world, sync)
    assert len(done.letters) == 4
    assert len(done.executions) == 2
    assert {letter.status for letter in after} == {LetterStatus.REDRIVEN}
    assert len({letter.redriven_as for letter in after[:3]}) == 1
    assert after[3].redriven_as not in {letter.redriven_as for letter in after[:3]}
    assert waiting(world) == set(done.executions)


def test_what_is_redriven_asks_for_what_was_asked_for_and_says_why_it_exists(world):
    sync = world.sync()
    run(world, sync, streams=("orders",), window_start="1", window_end="3")

    (execution_id,) = again(world, sync).executions

    (letter,) = letters(world, sync)
    with world.catalog.begin() as db:
        entry = history.find(db, execution_id, tenant_id=sync.tenant_id)
    assert entry.execution.request == Request(streams=("orders",), window_start="1", window_end="3")
    assert entry.execution.trigger is Trigger.RETRY
    assert entry.metadata["reason"] == "a dead letter tried again"
    assert entry.metadata["dead_letters"] == [str(letter.id)]
    (launch,) = ready(world.catalog, world.clock())
    assert launch.execution_id == execution_id


def test_redriving_twice_makes_one_execution(world):
    sync = world.sync()
    run(world, sync)

    first, second = again(world, sync), again(world, sync)

    assert len(first.executions) == 1
    assert (second.letters, second.executions) == ((), ())
    assert len(waiting(world)) == 1


def test_four_people_who_redrive_at_once_make_one_execution_of_each_sync(world):
    """R90."""
    made = [world.sync(f"acme/sync-{number}") for number in range(5)]
    for sync in made:
        run(world, sync)

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: again(world, made[0]), range(4)))

    assert sum(len(one.executions) for one in done) == 5
    assert len(waiting(world)) == 5


def test_nobody_redrives_or_discards_another_tenant_s_letters(world):
    """A tenant never steers another."""
    sync, foreign = world.sync(), world.sync("globex/orders")
    run(world, foreign)
    theirs = letters(world, foreign)

    done = again(world, sync, theirs)
    with world.catalog.begin() as db:
        discarded = discard(db, [theirs[0].id], tenant_id=sync.tenant_id, now=world.clock())

    assert (done.letters, discarded) == ((), ())
    assert letters(world, foreign) == theirs


def test_what_was_redriven_and_failed_again_is_a_letter_of_its_own(world):
    sync = world.sync()
    run(world, sync)
    (execution_id,) = again(world, sync).executions
    world.clock.advance(seconds=1)

    end(world, execution_id)

    first, second = letters(world, sync)
    assert (first.status, second.status) == (LetterStatus.REDRIVEN, LetterStatus.OPEN)
    assert second.execution_id == execution_id


def test_what_was_redriven_and_cancelled_is_open_again(world):
    """It was not tried after all: nothing is lost by a cancellation."""
    sync = world.sync()
    run(world, sync)
    (execution_id,) = again(world, sync).executions

    cancel(world.catalog, execution_id, now=world.clock())
    follow_up_left_behind(world.catalog, world.clock.advance(minutes=1))

    (letter,) = letters(world, sync)
    assert (letter.status, letter.redriven_as) == (LetterStatus.OPEN, None)
    assert len(again(world, sync).executions) == 1


def test_redriving_more_than_the_tenant_s_hour_allows_changes_nothing(world):
    sync, refunds = world.sync(), world.sync("acme/refunds")
    run(world, sync)
    run(world, refunds)
    with world.catalog.begin() as db:
        tenant = tenants.find_tenant(db, "acme")
        limited = replace(tenant, limits=TenantLimits(executions_per_hour=3))
        tenants.put_limits(db, limited, now=world.clock())

    with pytest.raises(LimitReachedError, match=r"3 executions an hour and has had 2; .* 2 more"):
        again(world, sync)

    assert {letter.status for letter in letters(world, sync)} == {LetterStatus.OPEN}
    assert len(again(world, sync, letters(world, sync)[:1]).executions) == 1


def test_a_discarded_letter_is_closed_for_good(world):
    sync = world.sync()
    run(world, sync)
    (letter,) = letters(world, sync)

    with world.catalog.begin() as db:
        now = world.clock.advance(hours=1)
        first = discard(db, [letter.id], tenant_id=sync.tenant_id, now=now)
        second = discard(db, [letter.id], tenant_id=sync.tenant_id, now=now)

    (after,) = letters(world, sync)
    assert (first, second) == ((letter.id,), ())
    assert (after.status, after.closed_at) == (LetterStatus.DISCARDED, now)
    assert again(world, sync).executions == ()

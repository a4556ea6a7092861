from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy import delete, select

from sync_pipelines.catalog import dead_letters, events, history, tenants
from sync_pipelines.catalog.dead_letters import Which
from sync_pipelines.catalog.tables import EventRow, ExecutionRow
from sync_pipelines.engine.aftermath import follow_up_left_behind
from sync_pipelines.engine.dead_letters import bury_event, discard, redrive
from sync_pipelines.engine.dispatch import LimitReachedError, claim_due, ready
from sync_pipelines.engine.outcome import ErrorClass
from sync_pipelines.engine.settle import cancel
from sync_pipelines.model.dead_letter import LetterKind, LetterStatus, covers
from sync_pipelines.model.event import Event, EventStatus
from sync_pipelines.model.execution import Request, Status, Trigger
from sync_pipelines.model.kinds import EventTrigger
from sync_pipelines.model.limits import TenantLimits
from tests.engine.settling import end, run
from tests.world import START, World, make_catalog


@pytest.fixture
def world(catalog_url):
    catalog = make_catalog(catalog_url)
    yield World(catalog)
    catalog.close()


EVERY = Which()


def letters(world, sync, which=EVERY):
    """A tenant's letters, oldest first."""
    with world.catalog.begin() as db:
        found = dead_letters.list_letters(db, which, tenant_id=sync.tenant_id)
    return list(reversed(found))


def again(world, sync, chosen=None):
    """Redrive some letters of a sync's tenant, or all of them."""
    chosen = letters(world, sync) if chosen is None else chosen
    with world.catalog.begin() as db:
        ids = [letter.id for letter in chosen]
        return redrive(db, ids, tenant_id=sync.tenant_id, now=world.clock())


def waiting(world):
    with world.catalog.begin() as db:
        query = select(ExecutionRow.id).where(ExecutionRow.status == Status.PENDING)
        return set(db.scalars(query))


# --- burying -----------------------------------------------------------------------------


def test_an_execution_that_used_up_its_attempts_is_a_letter_that_tells_all_of_it(world):
    """R90: payload, reason, and what every attempt died of."""
    sync = world.sync()
    world.schedule(sync, {"type": "every", "minutes": 15}, name="often")
    (launch,) = claim_due(world.catalog, "database", world.clock(), tick="one")
    end(world, launch.execution_id, Status.PENDING, error=ErrorClass.LOST)
    end(world, launch.execution_id, error=ErrorClass.RATE_LIMITED)

    (letter,) = letters(world, sync)

    assert letter.kind is LetterKind.EXECUTION
    assert letter.status is LetterStatus.OPEN
    assert (letter.sync_key, letter.execution_id) == ("acme/orders", launch.execution_id)
    assert (letter.cause, letter.reason) == ("rate_limited", "rate_limited: no luck")
    assert letter.created_at == START
    assert letter.payload["request"] == {}
    assert letter.payload["trigger"] == "scheduled"
    assert letter.payload["schedule"] == "often"
    assert letter.payload["due_at"] == START.isoformat()
    assert letter.payload["streams"]["orders"]["message"] == "rate_limited: no luck"
    assert [attempt["error_class"] for attempt in letter.payload["attempts"]] == [
        "lost",
        "rate_limited",
    ]


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.PARTIAL, Status.CANCELLED])
def test_what_did_not_fail_altogether_is_no_letter(world, status):
    sync = world.sync()

    run(world, sync, status)

    assert letters(world, sync) == []


def test_a_failure_whose_process_was_killed_before_it_was_buried_is_buried_once(world):
    sync = world.sync()
    run(world, sync, followed=False)

    for _ in range(2):
        follow_up_left_behind(world.catalog, world.clock.advance(minutes=1))

    assert len(letters(world, sync)) == 1


def test_letters_are_found_by_what_they_are_about_and_no_other_tenant_s(world):
    sync, refunds = world.sync(), world.sync("acme/refunds")
    foreign = world.sync("globex/orders")
    run(world, sync, error=ErrorClass.AUTH)
    run(world, refunds)
    run(world, foreign, error=ErrorClass.AUTH)

    def keys(which):
        return [letter.sync_key for letter in letters(world, sync, which)]

    assert keys(Which()) == ["acme/orders", "acme/refunds"]
    assert keys(Which(cause="auth")) == ["acme/orders"]
    assert keys(Which(sync="refunds")) == ["acme/refunds"]
    assert keys(Which(status=LetterStatus.DISCARDED)) == []
    with world.catalog.begin() as db:
        everybody = dead_letters.list_letters_for_all_tenants(db, Which(cause="auth"))
        latest = dead_letters.list_letters_for_all_tenants(db, Which(), limit=1)
    assert {letter.sync_key for letter in everybody} == {"acme/orders", "globex/orders"}
    assert [letter.sync_key for letter in latest] == ["globex/orders"]


# --- redriving ---------------------------------------------------------------------------


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


# --- superseding -------------------------------------------------------------------------


def test_a_later_execution_that_does_the_same_closes_the_letter(world):
    sync, other = world.sync(), world.sync("acme/refunds")
    run(world, sync)
    run(world, other)

    run(world, sync, Status.COMPLETED)

    closed, untouched = letters(world, sync)
    assert (closed.status, closed.closed_at) == (LetterStatus.SUPERSEDED, world.clock())
    assert untouched.status is LetterStatus.OPEN


@pytest.mark.parametrize("status", [Status.PARTIAL, Status.CANCELLED, Status.FAILED])
def test_what_did_not_complete_supersedes_nothing(world, status):
    sync = world.sync()
    run(world, sync)

    run(world, sync, status)

    assert letters(world, sync)[0].status is LetterStatus.OPEN


def test_an_execution_that_ended_before_the_failure_supersedes_nothing(world):
    """Also if its end is followed up late."""
    sync = world.sync()
    run(world, sync, Status.COMPLETED, followed=False)
    run(world, sync, followed=False)

    follow_up_left_behind(world.catalog, world.clock.advance(minutes=1))

    assert [letter.status for letter in letters(world, sync)] == [LetterStatus.OPEN]


def test_a_failure_that_is_buried_late_is_superseded_by_the_success_after_it(world):
    sync = world.sync()
    run(world, sync, followed=False)

    run(world, sync, Status.COMPLETED)

    assert [letter.status for letter in letters(world, sync)] == [LetterStatus.SUPERSEDED]


ALL, ONE, TWO = Request(), Request(streams=("a",)), Request(streams=("a", "b"))
FULL, FULL_ONE = Request(full=True), Request(full=True, streams=("a",))
WINDOW, HALF = Request(window_start="1", window_end="2"), Request(window_end="2")


@pytest.mark.parametrize(
    ("done", "wanted", "covered"),
    [
        (ALL, ALL, True),
        (ALL, ONE, True),
        (ONE, ALL, False),
        (TWO, ONE, True),
        (ONE, TWO, False),
        (ALL, FULL, False),
        (FULL, ALL, True),
        (FULL, FULL_ONE, True),
        (FULL_ONE, FULL, False),
        (FULL, WINDOW, True),
        (ALL, WINDOW, False),
        (ALL, HALF, False),
        (WINDOW, ALL, False),
        (HALF, ALL, False),
        (WINDOW, WINDOW, True),
        (WINDOW, Request(window_start="1", window_end="3"), False),
        (ALL, Request(allow_empty=True), True),
    ],
)
def test_an_execution_covers_what_it_has_done_too(done, wanted, covered):
    assert covers(done, wanted) is covered


# --- events ------------------------------------------------------------------------------


def event(world, sync, number=1):
    found = Event(
        id=uuid4(),
        tenant_id=sync.tenant_id,
        source=EventTrigger.WEBHOOK,
        platform="shop",
        event_id=f"e{number}",
        event_type="order.created",
        entity_type="order",
        entity_id=str(number),
        sync_id=sync.id,
        payload={"total": 12},
        received_at=world.clock(),
    )
    with world.catalog.begin() as db:
        events.accept(db, found)
    return found


def bury(world, found, reason="there is no such stream"):
    with world.catalog.begin() as db:
        bury_event(db, found, cause="config", reason=reason, now=world.clock())


def standing(world, found):
    with world.catalog.begin() as db:
        query = select(EventRow.status, EventRow.reason).where(EventRow.id == found.id)
        return tuple(db.execute(query).one())


def test_an_event_that_could_not_be_processed_is_a_letter_with_what_it_said(world):
    """R90."""
    sync = world.sync()
    found = event(world, sync)

    bury(world, found)

    (letter,) = letters(world, sync)
    assert letter.kind is LetterKind.EVENT
    assert (letter.cause, letter.reason) == ("config", "there is no such stream")
    assert (letter.event_id, letter.execution_id) == (found.id, None)
    assert letter.payload["payload"] == {"total": 12}
    assert letter.payload["event_type"] == "order.created"
    assert standing(world, found) == (EventStatus.DEAD, "there is no such stream")


def test_a_redriven_event_is_processed_again_and_buried_again_in_its_old_letter(world):
    sync = world.sync()
    found = event(world, sync)
    bury(world, found)

    done = again(world, sync)
    given_back = standing(world, found)
    redriven = letters(world, sync)
    world.clock.advance(hours=1)
    bury(world, found, "and still not")

    (letter,) = letters(world, sync)
    assert (done.events, done.executions) == (1, ())
    assert given_back == (EventStatus.PENDING, None)
    assert [one.status for one in redriven] == [LetterStatus.REDRIVEN]
    assert (letter.status, letter.reason) == (LetterStatus.OPEN, "and still not")
    assert (letter.created_at, letter.closed_at) == (world.clock(), None)


def test_the_letter_of_an_event_that_is_gone_stays_open(world):
    sync = world.sync()
    found = event(world, sync)
    bury(world, found)
    with world.catalog.begin() as db:
        db.execute(delete(EventRow))

    done = again(world, sync)

    assert (done.letters, done.events) == ((), 0)
    assert [letter.status for letter in letters(world, sync)] == [LetterStatus.OPEN]


def test_an_event_is_superseded_by_an_execution_that_has_read_what_it_told_of(world):
    sync = world.sync()
    bury(world, event(world, sync))
    run(world, sync, Status.COMPLETED, window_start="1")
    bounded = letters(world, sync)

    run(world, sync, Status.COMPLETED)

    assert [letter.status for letter in bounded] == [LetterStatus.OPEN]
    assert [letter.status for letter in letters(world, sync)] == [LetterStatus.SUPERSEDED]

"""What failed for good becomes a letter, and what did the same later closes it."""

import pytest

from sync_pipelines.catalog import dead_letters
from sync_pipelines.catalog.dead_letters import Which
from sync_pipelines.engine.aftermath import follow_up_left_behind
from sync_pipelines.engine.dispatch import claim_due
from sync_pipelines.engine.outcome import ErrorClass
from sync_pipelines.model.dead_letter import LetterKind, LetterStatus, covers
from sync_pipelines.model.execution import Request, Status
from tests.engine.letters import letters
from tests.engine.settling import end, run
from tests.world import START


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

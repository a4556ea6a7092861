"""An event that could not be processed is a letter too, and can be processed again."""

from uuid import uuid4

from sqlalchemy import delete, select

from sync_pipelines.catalog import events
from sync_pipelines.catalog.tables import EventRow
from sync_pipelines.engine.dead_letters import bury_event
from sync_pipelines.model.dead_letter import LetterKind, LetterStatus
from sync_pipelines.model.event import Event, EventStatus
from sync_pipelines.model.execution import Status
from sync_pipelines.model.kinds import EventTrigger
from tests.engine.letters import again, letters
from tests.engine.settling import run


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

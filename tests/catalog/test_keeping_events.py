"""What housekeeping leaves of decisions and of events."""

from datetime import timedelta

from sqlalchemy import insert, select

from sync_pipelines.catalog import keeping
from sync_pipelines.catalog.tables import DecisionRow, EventRow
from tests.catalog.ended import POLICY
from tests.world import START


def test_old_decisions_go_but_each_schedules_last(world):
    """Why the last one did not run stays answerable, however long ago it was due."""
    sync = world.sync()
    yearly = world.schedule(sync, {"type": "daily", "at": "02:00"}, name="rare")
    often = world.schedule(sync, {"type": "daily", "at": "03:00"}, name="often")

    def decided(schedule, days):
        due = START - timedelta(days=days)
        return {
            "tenant_id": sync.tenant_id,
            "sync_id": sync.id,
            "schedule_id": schedule,
            "schedule_name": str(days),
            "due_at": due,
            "first_due_at": due,
            "outcome": "skipped",
            "reason": "x",
            "decided_at": due,
        }

    with world.catalog.begin() as db:
        rows = [decided(yearly, 500), decided(yearly, 200), decided(often, 91), decided(often, 89)]
        db.execute(insert(DecisionRow), [*rows, decided(None, 91)])

    counted = keeping.forget_decisions(
        world.catalog, POLICY, now=START, stop=lambda: False, dry_run=True
    )
    forgotten = keeping.forget_decisions(world.catalog, POLICY, now=START, stop=lambda: False)

    with world.catalog.begin() as db:
        names = set(db.scalars(select(DecisionRow.schedule_name)))
    assert counted == forgotten == keeping.Forgotten(rows=3)
    assert names == {"200", "89"}


def test_events_go_once_they_were_done_with_long_ago_and_no_others(world):
    """What waits, what is being answered and what has a dead letter stays, however old."""
    sync = world.sync()
    kept = set()
    for status, ago, stays in (
        ("processed", 40, False),
        ("ignored", 40, False),
        ("processed", 20, True),
        ("pending", 40, True),
        ("dispatched", 40, True),
        ("dead", 40, True),
    ):
        done = None if status in ("pending", "dispatched") else START - timedelta(days=ago)
        event_id = f"{status}-{ago}"
        with world.catalog.begin() as db:
            db.execute(
                insert(EventRow).values(
                    tenant_id=sync.tenant_id,
                    source="webhook",
                    platform="shop",
                    event_id=event_id,
                    event_type="order.paid",
                    status=status,
                    received_at=START - timedelta(days=45),
                    processed_at=done,
                )
            )
        if stays:
            kept.add(event_id)

    counted = keeping.forget_events(
        world.catalog, POLICY, now=START, stop=lambda: False, dry_run=True
    )
    forgotten = keeping.forget_events(world.catalog, POLICY, now=START, stop=lambda: False)

    with world.catalog.begin() as db:
        left_over = set(db.scalars(select(EventRow.event_id)))
    assert counted == forgotten == keeping.Forgotten(rows=2)
    assert left_over == kept


def test_more_old_events_than_one_batch_holds_are_gone_in_one_turn(world, monkeypatch):
    sync = world.sync()
    monkeypatch.setattr(keeping, "BATCH", 2)
    old = START - timedelta(days=40)
    values = {
        "tenant_id": sync.tenant_id,
        "source": "webhook",
        "platform": "shop",
        "event_type": "order.paid",
        "status": "processed",
        "received_at": old,
        "processed_at": old,
    }
    with world.catalog.begin() as db:
        db.execute(
            insert(EventRow),
            [{**values, "event_id": str(number)} for number in range(5)],
        )

    forgotten = keeping.forget_events(world.catalog, POLICY, now=START, stop=lambda: False)

    assert forgotten == keeping.Forgotten(rows=5)

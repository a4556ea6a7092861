"""What Prometheus is told of the installation: R120, R121, R122."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from sqlalchemy import insert, text

from connectors.surroundings import Heard
from sync_pipelines.catalog import heartbeats
from sync_pipelines.catalog.metrics import MOST_TENANTS, REST
from sync_pipelines.catalog.tables import OutboxRow
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.engine.signs import note_signs
from sync_pipelines.engine.surroundings import surroundings_of
from sync_pipelines.model.execution import Status
from tests.engine.ending import start
from tests.engine.sending import send
from tests.engine.settling import end, run
from tests.gateway.hooks import endpoint
from tests.gateway.scraping import scraped

DASHBOARD = Path("deploy/grafana/sync-pipelines.json")
HOURLY = {"type": "every", "minutes": 60}


def test_what_ended_is_counted_once_with_duration_and_records(here, world):
    sync = world.sync()
    run(world, sync, Status.COMPLETED)
    run(world, sync, Status.FAILED)
    with world.catalog.begin() as db:
        db.execute(
            text(
                "UPDATE sync.sync_executions SET records_processed = 30, records_rejected = 4, "
                "bytes_moved = 500, attempt = 3, duration_ms = 2000 WHERE status = 'completed'"
            )
        )
    world.clock.advance(seconds=10)

    first = scraped(here)
    world.clock.advance(seconds=10)
    again = scraped(here)

    for found in (first, again):
        assert found["sync_executions_ended_total", "completed", "database"] == 1
        assert found["sync_executions_ended_total", "database", "failed"] == 1
        assert found["sync_records_total", "database", "processed"] == 30
        assert found["sync_records_total", "database", "rejected"] == 4
        assert found["sync_bytes_moved_total", "database"] == 500
        assert found["sync_attempts_total", "database"] == 4
        assert found["sync_execution_duration_seconds_sum", "database"] == 2
        assert found["sync_execution_duration_seconds_count", "database"] == 2
        assert found["sync_execution_duration_seconds_bucket", "1.0", "database"] == 1
        assert found["sync_execution_duration_seconds_bucket", "2.5", "database"] == 2


def test_how_late_executions_start_is_counted(here, world):
    sync = world.sync()
    execution_id = trigger(world.catalog, sync, now=world.clock(), queued=True)
    due = world.clock()
    world.clock.advance(seconds=7)
    end(world, execution_id, Status.COMPLETED)
    with world.catalog.begin() as db:
        db.execute(text("UPDATE sync.sync_executions SET due_at = :due"), {"due": due})
    world.clock.advance(seconds=10)

    found = scraped(here)

    assert found["sync_execution_lateness_seconds_sum", "database"] == 7
    assert found["sync_execution_lateness_seconds_bucket", "5.0", "database"] == 0
    assert found["sync_execution_lateness_seconds_bucket", "10.0", "database"] == 1


def test_an_execution_that_ends_between_two_scrapes_is_counted_by_the_second(here, world):
    sync = world.sync()
    scraped(here)
    run(world, sync, Status.COMPLETED)

    world.clock.advance(seconds=5)
    scraped(here)
    world.clock.advance(seconds=5)
    found = scraped(here)

    assert found["sync_executions_ended_total", "completed", "database"] == 1


def test_an_end_that_shows_only_after_a_look_is_counted_by_the_next(here, world):
    """Its transaction was open still: it ended before the look, and nobody could see that."""
    sync = world.sync()
    scraped(here)
    world.clock.advance(seconds=10)
    scraped(here)
    run(world, sync, Status.COMPLETED)
    with world.catalog.begin() as db:
        ended = {"at": world.clock() - timedelta(seconds=3)}
        db.execute(text("UPDATE sync.sync_executions SET completed_at = :at"), ended)
    world.clock.advance(seconds=10)

    found = scraped(here)

    assert found["sync_executions_ended_total", "completed", "database"] == 1


def test_the_queue_is_told_by_what_is_due_and_how_long_the_first_has_waited(here, world):
    sync = world.sync()
    trigger(world.catalog, sync, now=world.clock())
    trigger(world.catalog, world.sync("acme/too"), now=world.clock())
    trigger(world.catalog, world.sync("acme/more"), now=world.clock(), queued=True)
    for number in range(2):
        running = trigger(world.catalog, world.sync(f"acme/{number}"), now=world.clock())
        start(world, running)
    run(world, world.sync("acme/again"), Status.PENDING)
    with world.catalog.begin() as db:
        later = "UPDATE sync.sync_executions SET next_attempt_at = :at WHERE attempt = 2"
        db.execute(text(later), {"at": world.clock() + timedelta(hours=1)})
    world.clock.advance(seconds=39)

    found = scraped(here)

    states = {key[1]: value for key, value in found.items() if key[0] == "sync_executions"}
    assert states == {"pending": 2, "later": 1, "queued": 1, "running": 2}
    assert found["sync_tenant_in_flight", "acme"] == 3
    assert found["sync_tenant_waiting", "acme"] == 3
    assert found["sync_queue_depth",] == 3
    assert found["sync_queue_oldest_seconds",] == 40


def test_what_somebody_has_to_look_at_is_told_until_they_did(here, world):
    sync = world.sync()
    run(world, sync)
    for number in range(2):
        send(world, sync.tenant_id, f"event {number}")
    before = scraped(here)
    with world.catalog.begin() as db:
        db.execute(text("UPDATE sync.incidents SET resolved_at = now()"))
        db.execute(text("UPDATE sync.dead_letters SET status = 'discarded'"))
        db.execute(text("UPDATE sync.webhook_events SET status = 'ignored'"))
    world.clock.advance(seconds=10)

    after = scraped(here)

    assert before["sync_dead_letters_open",] == 1
    assert before["sync_webhook_events_pending",] == 2
    assert [key for key in before if key[0] == "sync_incidents_open"]
    assert after["sync_dead_letters_open",] == after["sync_webhook_events_pending",] == 0
    assert not [key for key in after if key[0] == "sync_incidents_open"]


def test_signs_of_life_lag_and_webhooks_are_told(here, world):
    sync = world.sync()
    world.schedule(sync, HOURLY)
    for name in ("off", "off too"):
        world.schedule(sync, HOURLY, name=name, is_active=False)
    hook = endpoint(world)
    with world.catalog.begin() as db:
        heartbeats.beat(db, "watch", every_seconds=30, now=world.clock())
        db.execute(text("UPDATE sync.webhook_endpoints SET received = 5, refused = 2"))
    world.clock.advance(seconds=60)

    found = scraped(here)

    assert found["sync_heartbeat_age_seconds", "watch"] == 60
    assert found["sync_dispatch_lag_seconds",] == 60
    assert (found["sync_schedules", "active"], found["sync_schedules", "paused"]) == (1, 2)
    assert found["sync_webhooks_received_total", hook.scheme] == 5
    assert found["sync_webhooks_refused_total", hook.scheme] == 2


def test_many_tenants_are_a_few_and_the_rest(here, world):
    """However many there are, the number of series is bounded."""
    for number in range(MOST_TENANTS + 3):
        sync = world.sync(f"tenant-{number}/orders")
        trigger(world.catalog, sync, now=world.clock())
    trigger(world.catalog, world.sync("big/one"), now=world.clock())
    trigger(world.catalog, world.sync("big/two"), now=world.clock())

    found = scraped(here)

    waiting = {key[1]: value for key, value in found.items() if key[0] == "sync_tenant_waiting"}
    assert len(waiting) == MOST_TENANTS + 1
    assert (waiting["big"], waiting[REST]) == (2, 4)


def test_calls_to_providers_are_told_by_connection(here, world):
    """R121: what runs, which end, have counted in the catalog."""
    sync = world.sync()
    budget = surroundings_of(world.catalog, sync.source).budget
    later = datetime.now(UTC) + timedelta(minutes=5)
    budget.take("calls", None, wanted=1, heard=Heard())
    waited = timedelta(seconds=3)
    heard = Heard(calls=7, throttles=2, waited=waited, remaining=40, resets_at=later)
    budget.tell("calls", heard)

    found = scraped(here)

    of = sorted(("acme", "orders-source", "database"))
    assert found["sync_api_calls_total", *of] == 7
    assert found["sync_api_throttles_total", *of] == 2
    assert found["sync_api_waited_seconds_total", *of] == 3
    assert found["sync_api_remaining", *of] == 40


def test_the_dashboard_asks_for_nothing_that_is_not_told(here, world):
    """R122. With every kind of sample there, each name in a query is one that is served."""
    sync = world.sync()
    endpoint(world)
    budget = surroundings_of(world.catalog, sync.source).budget
    heard = Heard(remaining=9, resets_at=datetime.now(UTC) + timedelta(minutes=5))
    budget.take("calls", None, wanted=1, heard=heard)
    run(world, sync, Status.COMPLETED)
    trigger(world.catalog, sync, now=world.clock())
    scraped(here)
    world.clock.advance(minutes=5)
    with world.catalog.begin() as db:
        heartbeats.beat(db, "watch", every_seconds=30, now=world.clock())
        note_signs(db, world.clock(), awake_since=world.clock() - timedelta(hours=1))
    told = {key[0] for key in scraped(here)}
    dashboard = json.loads(DASHBOARD.read_text())
    queries = [one["expr"] for panel in dashboard["panels"] for one in panel["targets"]]

    asked = {name for query in queries for name in re.findall(r"\b(?:sync|process)_\w+", query)}

    assert len(queries) > 20
    assert asked - told == set()


def test_what_waits_and_what_has_arrived_is_counted_by_channel(here, world):
    sync = world.sync()
    posted = [
        ("email", "pending", None, None),
        ("email", "pending", "no answer", None),
        ("webhook", "dead", "410", None),
        ("webhook", "sent", None, 2),
        ("webhook", "sent", None, 40),
    ]
    with world.catalog.begin() as db:
        for at, (channel, state, error, seconds) in enumerate(posted):
            sent = None if seconds is None else world.clock() + timedelta(seconds=seconds)
            values = {"channel": channel, "state": state, "last_error": error, "sent_at": sent}
            due = {"next_attempt_at": world.clock(), "created_at": world.clock(), "attempts": 1}
            what = {"rule_id": uuid4(), "event": "failure", "event_id": str(at), "payload": {}}
            who = {"tenant_id": sync.tenant_id, "recipient": "x"}
            db.execute(insert(OutboxRow).values(**values, **due, **what, **who))
    scraped(here)
    world.clock.advance(seconds=50)

    found = scraped(here)

    assert found["sync_outbox_pending", "email"] == 2
    assert found["sync_outbox_failing", "email"] == 1
    assert found["sync_outbox_dead", "webhook"] == 1
    assert found["sync_outbox_oldest_seconds",] == 50
    assert found["sync_delivery_latency_seconds_count", "webhook"] == 2
    assert found["sync_delivery_latency_seconds_bucket", "2.5", "webhook"] == 1
    assert found["sync_delivery_latency_seconds_sum", "webhook"] == 42

"""What Prometheus is told, and who may ask: R120, R121, R122."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import create_engine, event, insert, text

from connectors.surroundings import Heard
from sync_pipelines.catalog import heartbeats
from sync_pipelines.catalog.metrics import MOST_TENANTS, REST
from sync_pipelines.catalog.tables import OutboxRow
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.engine.signs import note_signs
from sync_pipelines.engine.surroundings import surroundings_of
from sync_pipelines.gateway.app import create_app
from sync_pipelines.model.execution import Status
from sync_pipelines.model.roles import Role
from tests.engine.settling import end, run
from tests.gateway.hooks import endpoint
from tests.gateway.people import token

DASHBOARD = Path("deploy/grafana/sync-pipelines.json")
LOCAL = "http://127.0.0.1:8000"
HOURLY = {"type": "every", "minutes": 60}


@pytest.fixture
def app(doors):
    return create_app(doors)


@pytest.fixture
def here(app):
    """A program on this machine."""
    with TestClient(app, base_url=LOCAL, client=("127.0.0.1", 5000)) as client:
        yield client


def scraped(client, **headers):
    """Every sample, by its name and labels."""
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_what_ended_is_counted_once_with_duration_and_records(here, world):
    sync = world.sync()
    run(world, sync, Status.COMPLETED)
    run(world, sync, Status.FAILED)
    with world.catalog.begin() as db:
        db.execute(
            text(
                "UPDATE sync.sync_executions SET records_processed = 30, duration_ms = 2000 "
                "WHERE status = 'completed'"
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


def test_the_queue_is_told_by_what_is_due_and_how_long_the_first_has_waited(here, world):
    sync = world.sync()
    trigger(world.catalog, sync, now=world.clock())
    trigger(world.catalog, world.sync("acme/more"), now=world.clock(), queued=True)
    world.clock.advance(seconds=40)

    found = scraped(here)

    assert found["sync_executions", "pending"] == 1
    assert found["sync_executions", "queued"] == 1
    assert found["sync_queue_depth",] == 2
    assert found["sync_queue_oldest_seconds",] == 40


def test_signs_of_life_lag_and_webhooks_are_told(here, world):
    world.schedule(world.sync(), HOURLY)
    hook = endpoint(world)
    with world.catalog.begin() as db:
        heartbeats.beat(db, "watch", every_seconds=30, now=world.clock())
        db.execute(text("UPDATE sync.webhook_endpoints SET received = 5, refused = 2"))
    world.clock.advance(seconds=60)

    found = scraped(here)

    assert found["sync_heartbeat_age_seconds", "watch"] == 60
    assert found["sync_dispatch_lag_seconds",] == 60
    assert found["sync_schedules", "active"] == 1
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


def test_requests_are_counted_by_template_and_made_up_paths_are_one(here, world):
    for path in ("/webhooks/one", "/webhooks/two", "/no/such", "/nor/this"):
        here.get(path)
    here.request("INVENTED", "/health/live")

    found = scraped(here)

    assert found["sync_http_requests_total", "/webhooks/{key}", "4xx", "GET"] == 2
    routes = {key for key in found if key[0] == "sync_http_requests_total"}
    assert not [key for key in routes if "/no/such" in key or "INVENTED" in key]


def test_scrapes_in_a_row_ask_the_catalog_once(here, world):
    statements = []

    def note(*arguments):
        statements.append(arguments[2])

    event.listen(world.catalog.engine, "before_cursor_execute", note)
    try:
        scraped(here)
        first = len(statements)
        scraped(here)
        scraped(here)
    finally:
        event.remove(world.catalog.engine, "before_cursor_execute", note)

    assert 0 < first < 15
    assert len(statements) == first


def test_a_catalog_that_is_gone_is_told_and_the_process_tells_the_rest(doors):
    engine = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    lost = create_app(replace(doors, catalog=replace(doors.catalog, engine=engine)))
    with TestClient(lost, base_url=LOCAL, client=("::1", 5000)) as client:
        found = scraped(client)

    assert found["sync_catalog_up",] == 0
    assert found["process_resident_memory_bytes",] > 0
    assert not [key for key in found if key[0] == "sync_queue_depth"]


@pytest.mark.parametrize(
    "headers", [{"X-Forwarded-For": "127.0.0.1"}, {"Via": "1.1 proxy"}, {"Host": "evil.example"}]
)
def test_what_a_proxy_or_another_sites_page_brings_is_not_from_here(here, headers):
    assert here.get("/metrics", headers=headers).status_code == 401


def test_from_elsewhere_it_takes_whoever_runs_the_installation(client, world):
    codes = {
        "nobody": client.get("/metrics").status_code,
        "a tenant's admin": client.get("/metrics", headers=token(world)).status_code,
        "instance admin": client.get("/metrics", headers=token(world, None)).status_code,
    }

    assert codes == {"nobody": 401, "a tenant's admin": 403, "instance admin": 200}


@pytest.mark.parametrize(
    ("tenant", "scopes", "code"),
    [
        (None, ("metrics:read",), 200),
        (None, ("syncs",), 403),
        (None, (), 403),
        ("acme", ("metrics",), 403),
    ],
)
def test_a_token_for_just_that_may_look_and_no_other(client, world, tenant, scopes, code):
    headers = token(world, tenant, Role.VIEWER, scopes=scopes)

    assert client.get("/metrics", headers=headers).status_code == code


def test_a_token_that_has_run_out_may_not(client, world):
    until = world.clock() + timedelta(hours=1)
    headers = token(world, None, scopes=("metrics:read",), expires_at=until)
    world.clock.advance(hours=2)

    assert client.get("/metrics", headers=headers).status_code == 401


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

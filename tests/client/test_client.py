"""The Python client, against a gateway that listens."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, select

from sync_pipelines.catalog.tables import ExecutionRow
from sync_pipelines.client import (
    ApiError,
    ChangedError,
    Client,
    ConflictError,
    NotFoundError,
    SyncError,
    UnreachableError,
)
from sync_pipelines.gateway.app import create_app
from sync_pipelines.model.execution import Request
from sync_pipelines.model.roles import Role
from sync_pipelines.settings import Settings
from tests.engine.ending import executions_of
from tests.engine.settling import end, run
from tests.gateway.people import token
from tests.gateway.served import served

DAILY = {"type": "daily", "at": "02:00"}


@pytest.fixture
def acme(world):
    return world.sync("acme/orders")


@pytest.fixture
def secret(world, acme):
    return token(world, "acme", Role.ADMIN)["Authorization"].removeprefix("Bearer ")


@pytest.fixture
def url(doors, world):
    with served(create_app(doors)) as found:
        yield found


@pytest.fixture
def sync(url, secret):
    with Client(url, token=secret) as client:
        yield client


def test_a_schedule_goes_through_its_whole_life(sync, world, acme):
    made = sync.schedules.create(sync="orders", name="nightly", cadence=DAILY)
    changed = sync.schedules.change(made.id, if_match=made.etag, timezone="Europe/Berlin")
    paused = sync.schedules.pause(made.id, reason="stock")
    resumed = sync.schedules.resume(made.id)
    coming = sync.schedules.preview(made.id, count=2)
    why = sync.schedules.explain(made.id, world.clock() + timedelta(days=1))
    started = sync.schedules.trigger(made.id)
    (ran,) = sync.schedules.history(made.id)
    cancelled = sync.executions.cancel(started.execution_id)
    lines = sync.executions.logs(started.execution_id)
    sync.schedules.delete(made.id)

    assert made.next_run_at.isoformat() == "2026-03-03T02:00:00+00:00"
    assert changed.timezone == "Europe/Berlin"
    assert (paused.state, resumed.state) == ("paused", "active")
    assert len(coming.next) == 2
    assert coming.next[0].runs
    assert why
    assert ran.id == started.execution_id
    assert cancelled.is_over
    assert lines[-1].event == "execution.cancelled"
    assert list(sync.schedules.list()) == []


def test_a_list_is_fetched_page_by_page(sync):
    for hour in range(5):
        cadence = {"type": "daily", "at": f"0{hour}:00"}
        sync.schedules.create(sync="orders", name=f"s{hour}", cadence=cadence)

    found = [one.name for one in sync.schedules.list(page_size=2, sync="orders")]

    assert found == ["s0", "s1", "s2", "s3", "s4"]


def test_errors_are_told_apart_and_name_their_fields(sync, acme):
    made = sync.schedules.create(sync="orders", name="nightly", cadence=DAILY)
    sync.schedules.change(made.id, timezone="Asia/Tokyo")

    with pytest.raises(ApiError) as wrong:
        sync.schedules.create(sync="orders", name="n", cadence={"type": "dayly"})
    with pytest.raises(ConflictError):
        sync.schedules.create(sync="orders", name="nightly", cadence=DAILY)
    with pytest.raises(ChangedError):
        sync.schedules.change(made.id, if_match=made.etag, is_active=False)
    with pytest.raises(NotFoundError):
        sync.syncs.get(made.id)

    assert wrong.value.errors[0].field == "body.cadence.type"
    assert wrong.value.request_id


def test_syncs_connections_letters_and_reports(sync, world, acme):
    run(world, acme)

    (connection, _) = sync.connections.list()
    (found,) = sync.syncs.list()
    (letter,) = sync.dead_letters.list(status="open")
    redriven = sync.dead_letters.redrive([letter.id])
    report = sync.report(end=world.clock() + timedelta(hours=1))

    assert connection.secret_fields == ["url"]
    assert sync.syncs.get(found.id).etag
    assert len(redriven.executions) == 1
    assert report.totals.failed == 1
    assert report.percentiles_exact
    assert [one.failed for one in sync.dashboard().days] == [0, 0, 0, 0, 0, 0, 1]
    assert report.syncs[0].sync == "orders"


def test_an_execution_is_waited_for_until_it_has_ended(url, secret, world, acme):
    started: list[UUID] = []
    with Client(url, token=secret, sleep=lambda _: end(world, *started)) as sync:
        started.append(sync.syncs.trigger(acme.id).execution_id)

        ended = sync.executions.wait(*started)

    assert (ended.id, ended.status) == (started[0], "failed")


def test_who_belongs_to_several_tenants_says_which_is_meant(url, world, acme):
    world.sync("globex/parts")
    boss = token(world, None)["Authorization"].removeprefix("Bearer ")

    found = []
    for tenant in ("acme", "globex"):
        with Client(url, token=boss, tenant=tenant) as sync:
            found.append([one.name for one in sync.syncs.list()])

    assert found == [["orders"], ["parts"]]


def test_a_sync_is_paused_and_all_of_it_is_read_again(sync, world, acme):
    paused = sync.syncs.pause(acme.id, reason="moving house")
    resumed = sync.syncs.resume(acme.id)
    started = sync.syncs.trigger(acme.id, streams=["orders"], full=True)
    (asked,) = executions_of(world, acme)

    assert (paused.is_active, resumed.is_active) == (False, True)
    assert sync.executions.get(started.execution_id).id == asked.id
    assert asked.request == Request(full=True, streams=("orders",))


def test_a_schedule_is_replaced_as_a_whole_and_removed_only_as_it_was_seen(sync, acme):
    made = sync.schedules.create(sync="orders", name="n", cadence=DAILY, timezone="Asia/Tokyo")
    coming = sync.schedules.preview_unsaved(cadence=DAILY, count=1)
    replaced = sync.schedules.replace(made.id, if_match=made.etag, cadence={"type": "hourly"})

    with pytest.raises(ChangedError):
        sync.schedules.replace(made.id, if_match=made.etag, cadence=DAILY)
    with pytest.raises(ChangedError):
        sync.schedules.delete(made.id, if_match=made.etag)

    assert (replaced.timezone, replaced.cadence["type"]) == ("UTC", "hourly")
    assert len(coming.next) == 1
    sync.schedules.delete(made.id, if_match=sync.schedules.get(made.id).etag)


def test_a_connection_is_tried_out_and_says_what_can_be_read(sync, world, tmp_path):
    database = tmp_path / "shop.db"
    with closing(sqlite3.connect(database)) as shop:
        shop.execute("CREATE TABLE parts (id INTEGER PRIMARY KEY)")
    parts = world.sync("acme/parts", source={"url": f"sqlite:///{database}"})

    checked = sync.connections.check(parts.source.id)
    (stream,) = sync.connections.discover(parts.source.id)

    assert set(checked) == {"source", "destination"}
    assert (stream["name"], stream["primary_key"]) == ("parts", ["id"])


def test_what_failed_is_listed_by_when_it_began_and_tried_again(sync, world, acme):
    early = run(world, acme)
    world.clock.advance(hours=2)
    late = run(world, acme)

    found = list(sync.executions.list(since=world.clock() - timedelta(hours=1)))
    again = sync.executions.retry(late.id)

    assert [one.id for one in found] == [late.id]
    assert again.execution_id not in (early.id, late.id)


def test_what_takes_too_long_is_not_waited_for(sync, acme):
    started = sync.syncs.trigger(acme.id)

    with pytest.raises(SyncError, match="still pending"):
        sync.executions.wait(started.execution_id, at_most=timedelta(0))


class Flaky(httpx.BaseTransport):
    """Loses the answers of the first requests, which are done all the same."""

    def __init__(self, lost, inner=None):
        self.lost, self.sent = lost, 0
        self.inner = inner or httpx.HTTPTransport()

    def close(self):
        self.inner.close()

    def handle_request(self, request):
        self.sent += 1
        answer = self.inner.handle_request(request)
        if self.sent <= self.lost:
            answer.read()
            raise httpx.ReadError("the connection was cut")
        return answer


def test_a_trigger_whose_answer_was_lost_is_sent_again_and_starts_once(url, secret, world, acme):
    """The key is made by default."""
    waits: list[float] = []
    http = httpx.Client(base_url=url, transport=Flaky(2))
    with Client(url, token=secret, http=http, sleep=waits.append) as sync:
        started = sync.syncs.trigger(acme.id)

    with world.catalog.begin() as db:
        made = db.scalar(select(func.count()).select_from(ExecutionRow))
    assert (made, len(waits)) == (1, 2)
    assert started.launched


def test_who_gives_no_answer_is_unreachable(secret):
    waits: list[float] = []
    http = httpx.Client(base_url="http://127.0.0.1:1", transport=Flaky(9))
    client = Client("", token=secret, http=http, sleep=waits.append)
    with client as sync, pytest.raises(UnreachableError):
        sync.syncs.get(UUID(int=1))

    assert len(waits) == 4


def test_a_limit_is_waited_for_as_long_as_it_says(doors, secret, world, acme):
    one_a_second = Settings(token_requests_per_second=1)
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        world.clock.advance(seconds=seconds)

    app = create_app(replace(doors, settings=one_a_second))
    with served(app) as url, Client(url, token=secret, sleep=sleep) as sync:
        for _ in range(7):
            sync.syncs.get(acme.id)

    assert waits == [1.0, 1.0]


def test_rules_deliveries_incidents_and_alerts(sync, world, acme):
    rule = sync.notification_rules.create(
        name="team", channel="email", recipients=["ana@example.com"], topics=["failure"]
    )
    changed = sync.notification_rules.change(rule.id, if_match=rule.etag, sync="orders")
    sent = sync.notification_rules.test(rule.id)
    run(world, acme)

    (delivery,) = sync.notification_deliveries.list(topic="failure")
    whole = sync.notification_deliveries.redeliver(delivery.id)
    (incident,) = sync.incidents.list(is_open=True)
    over = sync.incidents.resolve(sync.incidents.acknowledge(incident.id).id)
    digest = sync.preview_digest(every="daily")
    told = {one.measure: one for one in sync.alert_thresholds.put({"capacity": False})}

    assert (changed.sync, sent, changed.signing_secret) == ("orders", 1, None)
    assert (delivery.payload, whole.payload["type"]) == (None, "failure")
    assert over.resolved_at
    assert digest.subject
    assert not told["capacity"].is_on
    assert [one.name for one in sync.notification_rules.list()] == ["team"]


def test_whether_a_connection_was_let_in_is_told(sync, acme):
    told = sync.connections.authorization(acme.source.id)

    assert (told.by_person, told.is_authorized, told.refreshed_at) == (False, False, None)

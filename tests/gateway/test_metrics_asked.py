"""Who may ask for the figures, how often, and what is told when the catalog is away."""

from dataclasses import replace
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, event
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from sync_pipelines.gateway import figures
from sync_pipelines.gateway.app import create_app
from sync_pipelines.model.execution import Status
from sync_pipelines.model.roles import Role
from tests.engine.settling import run
from tests.gateway.people import token
from tests.gateway.scraping import LOCAL, scraped


def test_requests_are_counted_by_template_and_made_up_paths_are_one(here, world):
    for path in ("/webhooks/one", "/webhooks/two", "/no/such", "/nor/this"):
        here.get(path)
    here.request("INVENTED", "/health/live")

    found = scraped(here)

    assert found["sync_http_requests_total", "/webhooks/{key}", "4xx", "GET"] == 2
    assert found["sync_http_request_seconds_count", "/webhooks/{key}"] == 2
    routes = {key for key in found if key[0] == "sync_http_requests_total"}
    assert not [key for key in routes if "/no/such" in key or "INVENTED" in key]


def test_a_request_that_nobody_answered_counts_as_an_error(app):
    def breaks():
        raise RuntimeError("out of order")

    app.add_api_route("/breaks", breaks)
    with (
        TestClient(
            app, base_url=LOCAL, client=("127.0.0.1", 5000), raise_server_exceptions=False
        ) as here,
        capture_logs(),
    ):
        here.get("/breaks")
        found = scraped(here)

    assert found["sync_http_requests_total", "/breaks", "5xx", "GET"] == 1


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


def test_while_the_catalog_is_away_nothing_old_is_told_and_afterwards_nothing_is_missing(
    here, world, monkeypatch
):
    sync = world.sync()
    run(world, sync, Status.COMPLETED)
    world.clock.advance(seconds=10)
    before = scraped(here)
    run(world, sync, Status.COMPLETED)
    world.clock.advance(seconds=10)
    with monkeypatch.context() as lost:
        lost.setattr(figures, "standing_for_all_tenants", is_away)
        away = scraped(here)
    world.clock.advance(seconds=10)

    after = scraped(here)

    ended = ("sync_executions_ended_total", "completed", "database")
    assert [one["sync_catalog_up",] for one in (before, away, after)] == [1, 0, 1]
    assert [one[ended] for one in (before, away, after)] == [1, 1, 2]
    for name in ("sync_queue_depth", "sync_outbox_oldest_seconds"):
        assert [(name,) in one for one in (before, away, after)] == [True, False, True]


def is_away(*_):
    raise OperationalError("SELECT", None, ConnectionError())


@pytest.mark.parametrize(
    "headers",
    [
        {"Forwarded": "for=127.0.0.1"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-Host": "localhost"},
        {"X-Real-IP": "127.0.0.1"},
        {"Via": "1.1 proxy"},
        {"Host": "evil.example"},
    ],
)
def test_what_a_proxy_or_another_sites_page_brings_is_not_from_here(here, headers):
    assert here.get("/metrics", headers=headers).status_code == 401


def test_another_machine_that_calls_us_as_this_one_would_is_not_from_here(app):
    with TestClient(app, base_url=LOCAL, client=("192.0.2.7", 5000)) as elsewhere:
        assert elsewhere.get("/metrics").status_code == 401


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

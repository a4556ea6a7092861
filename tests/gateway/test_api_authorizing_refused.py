"""Answers of a provider that let nothing in: R131, R127."""

from urllib.parse import urlencode

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from structlog.testing import capture_logs

from connectors.testing.fake_api import Reply, failing
from sync_pipelines.catalog import tokens_of_connections
from sync_pipelines.catalog.syncs import find_tenant_id
from sync_pipelines.catalog.tenants import find_tenant, set_active
from sync_pipelines.catalog.users import find_user, put_membership
from sync_pipelines.gateway.app import create_app
from sync_pipelines.model.roles import Role
from tests.gateway.consent import CALLBACK, HERE, Browser, consented, kept, state_in
from tests.gateway.people import user


def test_an_answer_is_used_once(ana, world, connection):
    answer = consented(ana.link(connection))

    first, replayed = ana.come_back(**answer), ana.come_back(**answer)

    assert (first.status_code, replayed.status_code) == (200, 400)
    assert len(kept(world)[1]) == 1


@pytest.mark.parametrize("state", ["", "guessed", "x" * 200])
def test_an_answer_that_nobody_waits_for_is_refused_and_its_code_not_sent(
    ana, world, company, connection, state
):
    answer = consented(ana.link(connection))

    refused = ana.come_back(**{**answer, "state": state})

    assert refused.status_code == 400
    assert kept(world) == (0, [])
    assert company.granted == 0
    assert ana.come_back(**answer).status_code == 200


def test_an_answer_that_comes_too_late_is_refused(ana, world, connection):
    answer = consented(ana.link(connection))
    world.clock.advance(minutes=11)

    assert ana.come_back(**answer).status_code == 400
    assert kept(world) == (0, [])


def test_another_persons_answer_is_refused_and_stays_good_for_them(ana, world, doors, connection):
    """Nobody lets their own account be put under another's tenant, or another's under theirs."""
    rival = Browser(doors, user(world, "eve@example.com", rival=Role.ADMIN))
    colleague = Browser(doors, user(world, "ben@example.com", acme=Role.ADMIN))
    answer = consented(ana.link(connection))

    refused = [rival.come_back(**answer), colleague.come_back(**answer)]

    assert [one.status_code for one in refused] == [400, 400]
    assert kept(world) == (0, [])
    assert ana.come_back(**answer).status_code == 200


def test_who_is_not_signed_in_is_told_so_and_uses_nothing_up(ana, world, doors, connection):
    answer = consented(ana.link(connection))
    stranger = TestClient(create_app(doors), base_url=HERE)

    told = stranger.get(f"{CALLBACK}?{urlencode(answer)}")

    assert (told.status_code, "Sign in" in told.text) == (401, True)
    assert ana.come_back(**answer).status_code == 200


def test_who_is_no_admin_any_more_lets_nothing_in(ana, world, connection):
    answer = consented(ana.link(connection))
    with world.catalog.begin() as db:
        found = find_user(db, "ana@example.com")
        put_membership(db, found, tenant_id=find_tenant_id(db, "acme"), role=Role.VIEWER)

    assert ana.come_back(**answer).status_code == 400
    assert kept(world) == (0, [])


def test_for_a_suspended_tenant_nothing_is_let_in(ana, world, company, connection):
    answer = consented(ana.link(connection))
    with world.catalog.begin() as db:
        set_active(db, find_tenant(db, "acme"), is_active=False, now=world.clock())

    assert ana.come_back(**answer).status_code == 422
    assert (company.granted, kept(world)) == (0, (0, []))


def test_a_person_who_says_no_reads_why_and_nothing_is_kept(ana, world, company, connection):
    state = state_in(ana.link(connection))

    said = {"error": "access_denied", "error_description": "<b>not today</b>", "state": state}
    told = ana.come_back(**said)

    assert told.status_code == 400
    assert "&lt;b&gt;not today" in told.text
    assert kept(world) == (0, [])
    assert company.granted == 0


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (lambda request, route: Reply.json({"error": "invalid_grant"}, status=400), 400),
        (failing(503), 502),
        (lambda request, route: Reply(body=b"<html>maintenance</html>"), 502),
        (lambda request, route: Reply.json({"error": "invalid_client"}, status=401), 400),
    ],
)
def test_a_code_that_brings_nothing_is_said_and_another_try_is_good(
    ana, world, company, connection, fault, status
):
    answer = consented(ana.link(connection))
    company.api.at(1, fault)

    told = ana.come_back(**answer)

    assert told.status_code == status
    assert answer["code"] not in told.text
    assert kept(world) == (0, [])
    assert ana.come_back(**consented(ana.link(connection))).status_code == 200


def test_a_process_that_dies_with_the_tokens_in_hand_leaves_nothing_half(
    ana, world, company, connection, monkeypatch
):
    answer = consented(ana.link(connection))
    put = tokens_of_connections.put

    def dies(*what, **more):
        put(*what, **more)
        raise RuntimeError("the process is gone")

    with monkeypatch.context() as dying, capture_logs():
        dying.setattr(tokens_of_connections, "put", dies)
        gone = ana.come_back(**answer)

    assert (gone.status_code, company.granted) == (500, 1)
    assert kept(world) == (0, [])
    assert ana.come_back(**answer).status_code == 400
    assert ana.come_back(**consented(ana.link(connection))).status_code == 200
    assert kept(world)[0] == 1


def test_a_connection_that_was_removed_meanwhile_is_not_there(ana, world, connection):
    answer = consented(ana.link(connection))
    with world.catalog.begin() as db:
        db.execute(text("DELETE FROM sync.connections WHERE name = 'books'"))

    assert ana.come_back(**answer).status_code == 400


def test_a_tenants_token_endpoint_inside_is_not_asked(ana, world, company, connection):
    """SSRF: the code goes to no address inside, where the connection may not go there."""
    with world.catalog.begin() as db:
        db.execute(text("UPDATE sync.connections SET reaches_private = false"))

    told = ana.come_back(**consented(ana.link(connection)))

    assert told.status_code == 422
    assert company.granted == 0
    assert kept(world) == (0, [])

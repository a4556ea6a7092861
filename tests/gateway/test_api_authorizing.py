"""A person lets a connection in at its provider, and comes back: R131, R127."""

from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

from sqlalchemy import text

from sync_pipelines.catalog.syncs import find_connection
from sync_pipelines.engine.surroundings import open_source
from sync_pipelines.model.roles import Role
from sync_pipelines.settings import Settings
from tests.gateway.consent import CALLBACK, HERE, Browser, consented, kept, put, state_in
from tests.gateway.people import token, user
from tests.providers.intuit import REALM


def test_a_person_lets_a_connection_in_and_it_works_from_then_on(ana, world, company, connection):
    path = f"/api/v2/connections/{connection}/authorize"
    before = ana.http.get(path).json()
    link = ana.link(connection)

    done = ana.come_back(**consented(link))

    asked = dict(parse_qsl(urlsplit(link).query))
    assert asked["code_challenge_method"] == "S256"
    assert (before["by_person"], before["is_authorized"]) == (True, False)
    assert before["redirect_uri"] == asked["redirect_uri"] == f"{HERE}{CALLBACK}"
    assert (done.status_code, "acme/books" in done.text) == (200, True)
    assert done.headers["cache-control"] == "no-store"
    assert ana.http.get(path).json()["is_authorized"]
    assert kept(world) == (1, [("user:ana@example.com", "acme/books")])
    with world.catalog.begin() as db:
        found = find_connection(db, world.catalog.secrets, "acme/books")
        sealed = db.scalar(text("SELECT sealed FROM sync.connection_tokens"))
    source = open_source(world.catalog, found)
    assert REALM in source.check()
    source.close()
    for secret in (*company.access, *company.refresh):
        assert secret not in done.text
        assert secret not in sealed


def test_the_person_comes_to_where_they_wanted_and_never_elsewhere(ana, connection):
    inside = ana.come_back(**consented(ana.link(connection, next="/syncs/acme/orders")))
    outside = ana.come_back(**consented(ana.link(connection, next="https://evil.example")))

    assert (inside.status_code, inside.headers["location"]) == (303, "/syncs/acme/orders")
    assert outside.headers["location"] == "/account"


def test_another_tenants_connection_is_not_there(ana, world, connection):
    theirs = put(world, "rival", {})

    begun = [ana.begin(theirs), ana.begin(theirs, tenant="rival")]

    assert [one.status_code for one in begun] == [404, 404]


def test_a_token_cannot_consent(client, world, connection):
    answer = client.post(
        f"/api/v2/connections/{connection}/authorize", headers=token(world, "acme", Role.ADMIN)
    )

    assert answer.status_code == 403
    assert "connections authorize acme/books" in answer.json()["detail"]


def test_who_is_no_admin_cannot_begin(world, doors, connection):
    ben = Browser(doors, user(world, "ben@example.com", acme=Role.OPERATOR))

    assert ben.begin(connection).status_code == 403


def test_a_connection_that_no_person_lets_in_says_so(ana, world):
    with world.catalog.begin() as db:
        other = find_connection(db, world.catalog.secrets, "acme/any-source").id
        db.execute(
            text("UPDATE sync.connections SET secrets = :sealed WHERE id = :id"),
            {"sealed": world.catalog.secrets.seal({"url": "sqlite:////a"}), "id": other},
        )

    begun = ana.begin(other)
    told = ana.http.get(f"/api/v2/connections/{other}/authorize").json()

    assert (begun.status_code, told["by_person"]) == (422, False)


def test_where_one_comes_back_to_is_the_public_address_and_no_callers_word(
    ana, world, doors, connection
):
    """A forged Host leads nobody's code elsewhere."""
    headers = {"X-CSRF-Token": ana.csrf, "Host": "evil.example"}
    path = f"/api/v2/connections/{connection}/authorize"
    public = replace(doors, settings=Settings(public_url="http://127.0.0.1:8000/"))
    behind = Browser(public, "ana@example.com")

    forged = ana.http.post(path, json={}, headers=headers)
    named = behind.http.post(path, json={}, headers={**headers, "X-CSRF-Token": behind.csrf})

    assert forged.status_code == 409
    assert "SYNC_PUBLIC_URL" in forged.json()["detail"]
    assert named.json()["redirect_uri"] == f"{HERE}{CALLBACK}"


def test_nothing_of_what_is_waited_for_can_be_read_in_the_catalog(ana, world, connection):
    link = ana.link(connection)

    with world.catalog.begin() as db:
        row = str(db.execute(text("SELECT * FROM sync.connection_authorizations")).all())

    assert state_in(link) not in row
    assert HERE not in row

"""Tokens, roles, tenants: who comes in, and how far."""

from datetime import timedelta

import pytest
from sqlalchemy import select, text

from sync_pipelines.catalog import tokens
from sync_pipelines.catalog.tables import AuditRow, TokenRow
from sync_pipelines.gateway.identity import Operator
from sync_pipelines.model.roles import Role
from tests.gateway.people import PASSWORD, token, user

VIEWER, OPERATOR, ADMIN = Role


@pytest.fixture
def client(client):
    """With one more resource, for operators, whose tenant may stand in the path."""

    @client.app.post("/api/v2/executions", include_in_schema=False)
    @client.app.post("/api/workspaces/{tenant}/others", include_in_schema=False)
    def act(caller: Operator) -> list[str]:
        with caller.catalog.begin() as db:
            seen = db.scalar(text("SELECT count(*) FROM sync.tenants"))
        return [caller.actor, caller.tenant.name, caller.role, str(seen)]

    return client


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": f"Bearer sync_0123456789_{'a' * 43}"},
        {"Authorization": "Bearer ' OR 1=1 --"},
        {"Authorization": "Basic YTpi"},
        {"Cookie": "sync_session=made-up"},
    ],
)
def test_whom_nobody_knows_gets_401_and_how_to_come_in(client, headers):
    """R128."""
    answer = client.get("/api/v2/me", headers=headers)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_token_acts_for_its_own_tenant_and_sees_no_other(client, world):
    """R127, R129."""
    token(world, "rival")

    answer = client.post("/api/v2/executions", headers=token(world, "acme", OPERATOR))

    actor, *rest = answer.json()
    assert actor.startswith("token:")
    assert rest == ["acme", "operator", "1"]


@pytest.mark.parametrize("named", ["rival", "nowhere", "' OR '1'='1"])
def test_another_tenant_is_not_there_rather_than_forbidden(client, world, named):
    """R127."""
    token(world, "rival")
    headers = {**token(world, "acme"), "X-Tenant": named.encode()}

    answer = client.post("/api/v2/executions", headers=headers)

    assert answer.status_code == 404


def test_another_tenants_id_in_the_path_is_not_there(client, world):
    token(world, "rival")
    headers = token(world, "acme")

    found = [
        client.post(f"/api/workspaces/{tenant}/others", headers=headers).status_code
        for tenant in ("rival", "acme")
    ]

    assert found == [404, 200]


def test_a_role_that_is_not_enough_is_named_with_the_one_that_is(client, world):
    answer = client.post("/api/v2/executions", headers=token(world, "acme", VIEWER))

    assert answer.status_code == 403
    assert "operator" in answer.json()["detail"]
    assert "viewer" in answer.json()["detail"]


def test_an_expired_token_lets_nobody_in_from_its_last_instant_on(client, world):
    headers = token(world, expires_at=world.clock() + timedelta(hours=1))
    world.clock.advance(minutes=59, seconds=59)
    before = client.get("/api/v2/me", headers=headers).status_code
    world.clock.advance(seconds=1)

    after = client.get("/api/v2/me", headers=headers).status_code

    assert (before, after) == (200, 401)


def test_a_revoked_token_lets_nobody_in_and_revoking_twice_is_as_once(client, world):
    headers = token(world)
    made = client.post("/api/v2/tokens", json={"name": "x"}, headers=headers).json()
    its = {"Authorization": f"Bearer {made['token']}"}
    before = client.get("/api/v2/me", headers=its).status_code

    codes = [
        client.delete(f"/api/v2/tokens/{made['id']}", headers=headers).status_code for _ in "12"
    ]

    assert (before, codes) == (200, [204, 204])
    assert client.get("/api/v2/me", headers=its).status_code == 401
    with world.catalog.begin() as db:
        done = list(db.scalars(select(AuditRow.action)))
    assert done == ["token.created", "token.revoked"]


@pytest.mark.parametrize(
    ("scopes", "status"),
    [
        ((), 200),
        (("executions",), 200),
        (("executions:read",), 403),
        (("syncs", "tokens"), 403),
    ],
)
def test_a_token_is_held_to_its_scopes(client, world, scopes, status):
    headers = token(world, "acme", ADMIN, scopes=scopes)

    assert client.post("/api/v2/executions", headers=headers).status_code == status
    assert client.get("/api/v2/me", headers=headers).status_code == 200


def test_the_older_paths_are_held_to_the_same_scopes(client, world):
    """T13."""
    found = [
        client.post("/api/workspaces/acme/others", headers=token(world, scopes=scopes)).status_code
        for scopes in (("sync-schedules",), ("executions",))
    ]

    assert found == [200, 403]


@pytest.mark.parametrize(
    ("own", "wanted", "status"),
    [
        (("tokens", "syncs"), ["syncs:read"], 201),
        (("tokens", "syncs:read"), ["syncs"], 403),
        (("tokens",), [], 403),
        ((), ["everything"], 422),
    ],
)
def test_nobody_gives_away_more_than_they_have(client, world, own, wanted, status):
    headers = token(world, scopes=own)

    answer = client.post("/api/v2/tokens", json={"name": "x", "scopes": wanted}, headers=headers)

    assert answer.status_code == status


def test_a_token_is_shown_once_and_only_its_hash_is_kept(client, world):
    """R131."""
    headers = token(world)
    made = client.post("/api/v2/tokens", json={"name": "x"}, headers=headers)
    secret = made.json()["token"]

    listed = client.get("/api/v2/tokens", headers=headers)

    with world.catalog.begin() as db:
        kept = str(db.execute(select(TokenRow.__table__)).all())
        audited = str(db.execute(select(AuditRow.__table__)).all())
    assert made.headers["Cache-Control"] == "no-store"
    assert secret.partition("_")[2].partition("_")[2] not in listed.text + kept + audited
    assert len(listed.json()["items"]) == 2


def test_another_tenants_token_is_neither_listed_nor_revoked(client, world):
    token(world, "rival")
    with world.catalog.begin() as db:
        (theirs,) = tokens.list_tokens_for_all_tenants(db)
    headers = token(world, "acme")

    answer = client.delete(f"/api/v2/tokens/{theirs.id}", headers=headers)

    assert answer.status_code == 404
    assert len(client.get("/api/v2/tokens", headers=headers).json()["items"]) == 1


def test_last_use_is_written_once_a_minute(client, world):
    headers = token(world)
    used = []
    for seconds in (0, 59, 1):
        world.clock.advance(seconds=seconds)
        client.get("/api/v2/me", headers=headers)
        with world.catalog.begin() as db:
            used.append(db.scalar(select(TokenRow.last_used_at)))

    start = used[0]
    assert used == [start, start, start + timedelta(minutes=1)]


def test_secrets_are_compared_in_constant_time(world, monkeypatch):
    """What `==` would tell by its time, `compare_digest` does not; also for unknown prefixes."""
    compared = []
    monkeypatch.setattr(tokens, "is_same", lambda one, other: compared.append(1) or False)
    (_, _, secret) = token(world)["Authorization"].partition(" ")
    unknown = f"sync_0123456789_{'a' * 43}"

    with world.catalog.begin() as db:
        found = [tokens.find_token_for_all_tenants(db, one) for one in (secret, unknown)]

    assert (found, len(compared)) == ([None, None], 2)


def test_a_person_with_several_tenants_says_which(client, world):
    user(world, acme=VIEWER, rival=OPERATOR)
    opened = client.post("/api/v2/session", json={"email": "ana@example.com", "password": PASSWORD})
    csrf = {"X-CSRF-Token": opened.json()["csrf_token"]}

    codes = [
        client.post("/api/v2/executions", headers={**csrf, **tenant}).status_code
        for tenant in ({}, {"X-Tenant": "acme"}, {"X-Tenant": "rival"})
    ]

    assert codes == [400, 403, 200]


def test_an_instance_admin_reaches_every_tenant_and_others_do_not_run_the_installation(
    client, world
):
    headers = token(world, None)
    made = client.post("/api/v2/tenants", json={"name": "acme"}, headers=headers)
    again = client.post("/api/v2/tenants", json={"name": "acme"}, headers=headers)

    acted = client.post("/api/v2/executions", headers={**headers, "X-Tenant": "acme"})
    refused = client.get("/api/v2/tenants", headers=token(world, "acme"))

    assert (made.status_code, again.status_code, acted.status_code) == (201, 409, 200)
    assert refused.status_code == 403


def test_the_audit_is_shown_to_its_tenants_admins_page_by_page(client, world):
    """R133."""
    headers, rival = token(world, "acme"), token(world, "rival")
    for number in range(3):
        client.post("/api/v2/tokens", json={"name": f"n{number}"}, headers=headers)

    first = client.get("/api/v2/audit?limit=2", headers=headers).json()
    rest = client.get(f"/api/v2/audit?limit=2&before={first['next']}", headers=headers).json()
    theirs = client.get("/api/v2/audit", headers=rival).json()

    names = [one["after"]["name"] for one in (*first["items"], *rest["items"])]
    assert names == ["n2", "n1", "n0"]
    assert rest["next"] is None
    assert theirs["items"] == []
    assert client.get("/api/v2/audit", headers=token(world, "acme", OPERATOR)).status_code == 403


@pytest.mark.parametrize(
    "name", ["'; DROP TABLE sync.api_tokens; --", "<script>alert(1)</script>", "naïve ✓"]
)
def test_hostile_text_is_text(client, world, name):
    headers = token(world)

    made = client.post("/api/v2/tokens", json={"name": name}, headers=headers)

    assert (made.status_code, made.json()["name"]) == (201, name)


@pytest.mark.parametrize("name", ["a\r\nX-Evil: 1", "a\x00b", " ", "x" * 101])
def test_a_name_that_is_no_line_is_refused(client, world, name):
    answer = client.post("/api/v2/tokens", json={"name": name}, headers=token(world))

    assert answer.status_code == 422
    assert "X-Evil" not in answer.headers

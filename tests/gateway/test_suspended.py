"""A suspended tenant is closed to its tokens, people and webhooks; who runs it may look."""

from http import HTTPStatus

import pytest
from sqlalchemy import select, text

from sync_pipelines.catalog.tables import AuditRow
from sync_pipelines.model.roles import Role
from tests.gateway.hooks import endpoint, order, signed
from tests.gateway.people import PASSWORD, token, user

TENANTS = "/api/v2/tenants"


@pytest.fixture
def admin(world):
    """The header of somebody who runs the installation."""
    return token(world, None)


def suspend(client, admin, tenant="acme", **more):
    answer = client.patch(f"{TENANTS}/{tenant}", json={"is_active": False, **more}, headers=admin)
    assert answer.status_code == HTTPStatus.OK, answer.text
    return answer.json()


def resume(client, admin, tenant="acme"):
    client.patch(f"{TENANTS}/{tenant}", json={"is_active": True}, headers=admin)


@pytest.mark.parametrize("path", ["/api/v2/me", "/api/v2/syncs", "/api/workspaces/acme/sync-jobs"])
def test_its_tokens_are_refused_everywhere_until_it_is_resumed(client, world, admin, path):
    its, rivals = token(world, "acme"), token(world, "rival")
    suspend(client, admin)
    refused = client.get(path, headers=its)
    others = client.get("/api/v2/syncs", headers=rivals)
    resume(client, admin)
    again = client.get(path, headers=its)

    assert refused.status_code == HTTPStatus.FORBIDDEN
    assert "tenant 'acme' is suspended" in refused.json()["detail"]
    assert (others.status_code, again.status_code) == (HTTPStatus.OK, HTTPStatus.OK)


def test_its_people_are_refused_for_it_and_stay_signed_in_for_others(client, world, admin):
    user(world, acme=Role.ADMIN, rival=Role.VIEWER)
    client.post("/api/v2/session", json={"email": "ana@example.com", "password": PASSWORD})
    suspend(client, admin)

    codes = [
        client.get("/api/v2/syncs", headers={"X-Tenant": tenant}).status_code
        for tenant in ("acme", "rival")
    ]
    page = client.get("/account")

    assert codes == [HTTPStatus.FORBIDDEN, HTTPStatus.OK]
    assert "acme (suspended)" in page.text


def test_a_token_of_the_installation_that_is_no_admins_is_refused_for_it_too(client, world, admin):
    world.sync("acme/orders")
    looking = {**token(world, None, Role.VIEWER), "X-Tenant": "acme"}
    suspend(client, admin)

    assert client.get("/api/v2/syncs", headers=looking).status_code == HTTPStatus.FORBIDDEN


def test_who_runs_the_installation_may_look_at_it_and_start_nothing(client, world, admin):
    world.sync("acme/orders")
    suspend(client, admin)
    headers = {**admin, "X-Tenant": "acme"}

    listed = client.get("/api/v2/syncs", headers=headers)
    (sync,) = listed.json()["items"]
    started = client.post(f"/api/v2/syncs/{sync['id']}/trigger", headers=headers)

    assert listed.status_code == HTTPStatus.OK
    assert started.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert "suspended" in started.json()["detail"]


def test_its_webhooks_are_refused_as_if_nobody_knew_the_address(client, world, admin):
    world.sync("acme/orders")
    hook = endpoint(world, connection="orders-source")
    suspend(client, admin)

    refused = client.post(f"/webhooks/{hook.key}", content=order(), headers=signed(order()))

    with world.catalog.begin() as db:
        stored = db.scalar(text("SELECT count(*) FROM sync.webhook_deliveries"))
    assert (refused.status_code, stored) == (HTTPStatus.NOT_FOUND, 0)


def test_it_is_told_suspended_with_the_reason_in_the_audit_alone(client, world, admin):
    """R133."""
    token(world, "acme")

    told = suspend(client, admin, reason="unpaid")

    with world.catalog.begin() as db:
        (row,) = db.execute(select(AuditRow.__table__).where(AuditRow.subject == "acme")).all()
    assert told["is_active"] is False
    assert client.get(f"{TENANTS}/acme", headers=admin).json() == told
    assert (row.action, row.after["pause_reason"]) == ("tenant.suspended", "unpaid")


def test_what_a_tenant_may_use_is_changed_and_what_is_left_out_stays(client, world, admin):
    """R134."""
    token(world, "acme")

    first = client.patch(f"{TENANTS}/acme", json={"concurrent": 3, "weight": 2}, headers=admin)
    second = client.patch(f"{TENANTS}/acme", json={"concurrent": None}, headers=admin)

    limits = ("concurrent", "schedules", "executions_per_hour", "weight")
    assert [first.json()[name] for name in limits] == [3, None, None, 2]
    assert [second.json()[name] for name in limits] == [None, None, None, 2]
    assert second.json()["is_active"] is True


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"concurrent": 0}, "body.concurrent"),
        ({"is_active": None}, "body.is_active"),
        ({"name": "other"}, "body.name"),
        ({"reason": "unpaid"}, "body.reason"),
        ({"is_active": True, "reason": "paid"}, "body.reason"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused_by_the_name_of_its_field(
    client, world, admin, body, field
):
    token(world, "acme")

    answer = client.patch(f"{TENANTS}/acme", json=body, headers=admin)

    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert [one["field"] for one in answer.json()["errors"]] == [field]


def test_only_who_runs_the_installation_looks_at_tenants_and_changes_them(client, world, admin):
    its = token(world, "acme")

    codes = [
        client.request(method, f"{TENANTS}/acme", json={}, headers=its).status_code
        for method in ("GET", "PATCH")
    ]

    assert codes == [HTTPStatus.FORBIDDEN] * 2
    assert client.get(f"{TENANTS}/nobody", headers=admin).status_code == HTTPStatus.NOT_FOUND

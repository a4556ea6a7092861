"""Somebody who lets a connection in at its provider."""

from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import UUID

import httpx
from fastapi.testclient import TestClient
from sqlalchemy import text

from sync_pipelines.catalog.syncs import find_tenant_id, put_connection
from sync_pipelines.gateway.app import create_app
from tests.gateway.people import PASSWORD

HERE = "http://127.0.0.1:8000"
CALLBACK = "/connections/callback"


class Browser:
    """Somebody who is signed in."""

    def __init__(self, doors, email):
        app = create_app(doors)
        self.http = TestClient(
            app, base_url=HERE, raise_server_exceptions=False, follow_redirects=False
        )
        said = {"email": email, "password": PASSWORD}
        self.csrf = self.http.post("/api/v2/session", json=said).json()["csrf_token"]

    def begin(self, connection_id, tenant="acme", **body):
        headers = {"X-CSRF-Token": self.csrf, "X-Tenant": tenant}
        path = f"/api/v2/connections/{connection_id}/authorize"
        return self.http.post(path, json=body, headers=headers)

    def link(self, connection_id, **body):
        begun = self.begin(connection_id, **body)
        assert begun.status_code == 200, begun.text
        return begun.json()["browser"]

    def come_back(self, **answer):
        return self.http.get(f"{CALLBACK}?{urlencode(answer)}")


def state_in(link):
    return dict(parse_qsl(urlsplit(link).query))["state"]


def consented(link):
    """What the provider sends the person back with."""
    back = urlsplit(httpx.get(link).headers["location"])
    assert f"{back.scheme}://{back.netloc}{back.path}" == f"{HERE}{CALLBACK}"
    return dict(parse_qsl(back.query))


def put(world, tenant, config, **more) -> UUID:
    world.sync(f"{tenant}/any")
    with world.catalog.begin() as db:
        return put_connection(
            db,
            find_tenant_id(db, tenant),
            name="books",
            connector="quickbooks",
            config={},
            sealed=world.catalog.secrets.seal(config),
            key_id=world.catalog.secrets.key_id,
            now=world.clock(),
            **more,
        )


def kept(world):
    with world.catalog.begin() as db:
        tokens = db.scalar(text("SELECT count(*) FROM sync.connection_tokens"))
        audited = db.execute(
            text("SELECT actor, subject FROM sync.audit_log WHERE action = 'connection.authorized'")
        ).all()
    return tokens, [tuple(row) for row in audited]

"""`/api/v2/syncs`, `connections` and `connectors`: what was configured, and what is let in."""

import json
import sqlite3
from uuid import uuid4

import pytest
from sqlalchemy import select

from connectors import registry
from connectors.addresses import is_refused
from connectors.reach import Reach
from sync_pipelines.catalog.syncs import find_connection
from sync_pipelines.catalog.tables import AuditRow, ConnectionRow
from sync_pipelines.gateway.api.reaching import refused
from sync_pipelines.model.roles import Role
from sync_pipelines.settings import Settings
from tests.gateway.people import token

SYNCS, CONNECTIONS = "/api/v2/syncs", "/api/v2/connections"
SECRET = "hunter2-in-the-url"
URL = f"postgresql://reader:{SECRET}@db.example.com/shop"


@pytest.fixture(autouse=True)
def names(monkeypatch):
    """A network of names: no test asks a real one."""
    known = {
        "db.example.com": ["93.184.215.14"],
        "inside.example.com": ["93.184.215.14", "10.0.0.7"],
    }
    numbers = ("127.", "10.", "169.254.", "[::1]", "::1", "93.")

    def lookup(host):
        return [host] if host.startswith(numbers) else known.get(host, [])

    monkeypatch.setattr(refused, "__kwdefaults__", {"lookup": lookup})


@pytest.fixture
def root(client, world):
    """The header of whoever runs the installation."""
    return {**token(world, None, Role.ADMIN), "X-Tenant": "acme"}


def connected(api, name="shop", url=URL, **headers):
    wanted = {"name": name, "connector": "database", "config": {"url": url}}
    answer = api.post(CONNECTIONS, json=wanted, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


def synced(api, name="orders", **fields):
    body = {"name": name, "source": "shop", "destination": "house", "streams": ["orders"], **fields}
    answer = api.post(SYNCS, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_connections_secrets_are_in_no_answer_and_no_audit(api, world):
    """Secrets are never returned."""
    connection = connected(api)
    url = f"{CONNECTIONS}/{connection['id']}"
    answers = [
        api.get(url),
        api.get(CONNECTIONS),
        api.patch(url, json={"config": {"connect_timeout_seconds": 5}}),
        api.put(url, json={"config": {"url": URL + "2"}}),
        api.patch(url, json={"config": {"connect_timeout_seconds": "many"}}),
        api.post(
            CONNECTIONS,
            json={"name": "x", "connector": "database", "config": {"url": SECRET, "colour": 1}},
        ),
    ]

    assert [one.status_code for one in answers] == [200, 200, 200, 200, 422, 422]
    assert connection["secret_fields"] == ["url"]
    assert all(SECRET not in one.text for one in answers)
    with world.catalog.begin() as db:
        told = db.execute(select(AuditRow.before, AuditRow.after)).all()
        kept = db.execute(select(ConnectionRow.config, ConnectionRow.secrets)).all()
    assert SECRET not in json.dumps([list(row) for row in (*told, *kept)])


def test_a_part_of_a_connection_is_changed_and_its_secret_stays(api, world):
    connection = connected(api)

    api.patch(f"{CONNECTIONS}/{connection['id']}", json={"config": {"connect_timeout_seconds": 5}})

    with world.catalog.begin() as db:
        held = find_connection(db, world.catalog.secrets, "acme/shop")
    assert held.config == {"url": URL, "connect_timeout_seconds": 5}


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////etc/passwd.db",
        "duckdb:////var/lib/other.duckdb",
        "postgresql://u@127.0.0.1/postgres",
        "postgresql://u@[::1]/postgres",
        "postgresql://u@169.254.169.254/latest",
        "postgresql://u@10.0.0.7/x",
        "postgresql://u@inside.example.com/x",
        "postgresql://u@nowhere.example.com/x",
        "postgresql://u@db.example.com,10.0.0.7/x",
        "postgresql://u@db.example.com/x?host=127.0.0.1",
        "postgresql://u@db.example.com/x?hostaddr=127.0.0.1",
        "postgresql://u@/x?host=/var/run/postgresql",
        "postgresql:///x",
        "postgresql://u@db.example.com/x?service=other",
        "postgresql://u@db.example.com/x?sslkey=/etc/shadow",
        "postgresql://u@db.example.com/x?passfile=/root/.pgpass",
        "postgresql://u@db.example.com/x?oauth_issuer=http://169.254.169.254/&oauth_client_id=x",
        "postgresql+psycopg://u@127.0.0.1/x",
        "POSTGRES://u@127.0.0.1/x",
    ],
)
def test_a_tenants_connection_leads_nowhere_inside(api, root, url):
    """SSRF: files, sockets, options and addresses of this machine and its network."""
    body = {"name": "trap", "connector": "database", "config": {"url": url}}
    connection = connected(api)

    answers = [
        api.post(CONNECTIONS, json=body),
        api.put(f"{CONNECTIONS}/{connection['id']}", json={"config": {"url": url}}),
        api.patch(f"{CONNECTIONS}/{connection['id']}", json={"config": {"url": url}}),
    ]
    by_admin = api.post(CONNECTIONS, json=body, headers=root)

    assert [one.status_code for one in answers] == [422, 422, 422]
    assert {one["field"] for each in answers for one in each.json()["errors"]} == {"body.config"}
    assert by_admin.status_code == 201


def test_what_a_tenant_connects_may_not_come_to_lead_inside_and_an_admins_may(api, root, world):
    """What was judged when it was saved is looked at again when it is opened."""
    tenants = connected(api)
    admins = connected(api, "house", url="postgresql://u@10.0.0.7/x", **root)
    body = {"config": {"connect_timeout_seconds": 5}}
    for one in (tenants, admins):
        assert api.patch(f"{CONNECTIONS}/{one['id']}", json=body).status_code == 200

    with world.catalog.begin() as db:
        found = [
            find_connection(db, world.catalog.secrets, f"acme/{name}") for name in ("shop", "house")
        ]

    assert [one.reaches_private for one in found] == [False, True]


def test_an_admin_may_vouch_for_what_a_tenant_has_connected(api, root, world):
    connection = connected(api)

    body = {"config": {"url": URL}}
    vouched = api.put(f"{CONNECTIONS}/{connection['id']}", json=body, headers=root)

    with world.catalog.begin() as db:
        found = find_connection(db, world.catalog.secrets, "acme/shop")
    assert vouched.status_code == 200
    assert found.reaches_private


def test_what_an_instance_admin_has_connected_a_tenant_may_still_tune(api, root, tmp_path):
    connection = connected(api, url=f"sqlite:///{tmp_path}/shop.db", **root)
    url = f"{CONNECTIONS}/{connection['id']}"

    tuned = api.patch(url, json={"config": {"connect_timeout_seconds": 5}})
    moved = api.patch(url, json={"config": {"url": "sqlite:////etc/other.db"}})

    assert (tuned.status_code, moved.status_code) == (200, 422)


@pytest.mark.parametrize(
    ("file", "is_own"),
    [
        ("/data/acme/shop.db", True),
        ("/data/acme/../rival/shop.db", False),
        ("/data/acmeplus/shop.db", False),
        ("/data/shop.db", False),
        ("sslkey=/data/acme/key", False),
    ],
)
def test_a_tenant_has_files_of_its_own_where_the_operator_gives_it_some(file, is_own):
    settings = Settings(tenant_files="/data", allow_private_addresses=False)

    found = list(refused(Reach(files=(file,)), settings, tenant="acme"))

    assert (found == []) is is_own


def test_the_operator_may_open_private_networks():
    reach, settings = Reach(hosts=("10.0.0.7",)), Settings(allow_private_addresses=True)

    assert list(refused(reach, settings, tenant="acme")) == []


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fd00::1"),
        *("::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "ff02::1"),
    ],
)
def test_an_address_inside_is_none_of_the_public_network_however_it_is_wrapped(address):
    assert is_refused(address, allow_private=False)


def test_an_address_outside_is_public():
    assert not is_refused("93.184.215.14", allow_private=False)
    assert not is_refused("2606:2800:21f:cb07:6820:80da:af6b:8b2c", allow_private=False)


def test_a_connection_is_checked_and_discovered(api, root, tmp_path):
    file = tmp_path / "shop.db"
    with sqlite3.connect(file) as db:
        db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, at TEXT)")
    db.close()
    connection = connected(api, url=f"sqlite:///{file}", **root)
    url = f"{CONNECTIONS}/{connection['id']}"

    checked, found = api.post(f"{url}/check"), api.get(f"{url}/discover")

    assert checked.json()["ok"], checked.text
    (stream,) = found.json()["items"]
    assert (stream["name"], stream["primary_key"]) == ("orders", ["id"])


def test_a_sync_is_made_changed_paused_and_removed(api):
    connected(api), connected(api, "house")
    sync = synced(api)
    url = f"{SYNCS}/{sync['id']}"

    changed = api.patch(url, json={"retry": {"max_attempts": 9}, "description": "of the shop"})
    paused = api.post(f"{url}/pause", json={"reason": "stock"})
    resumed = api.post(f"{url}/resume")
    gone = api.delete(url)

    assert changed.json()["retry"]["max_attempts"] == 9
    assert changed.json()["streams"] == sync["streams"]
    assert (paused.json()["is_active"], paused.json()["pause_reason"]) == (False, "stock")
    assert resumed.json()["is_active"]
    assert (gone.status_code, api.get(url).status_code) == (204, 404)


def test_what_is_shown_of_a_sync_may_be_put_back_and_changes_nothing(api):
    """A client reads, changes one field, and writes."""
    connected(api), connected(api, "house")
    stream = {"name": "o", "sync_mode": "incremental", "write_mode": "upsert", "lag": "90s"}
    sync = synced(api, streams=[stream], retry={"initial": "1.5s", "ceiling": "20d"})
    parts = ("source", "destination", "dataset", "description", "streams", "retry", "breaker")

    again = api.put(f"{SYNCS}/{sync['id']}", json={name: sync[name] for name in parts}).json()

    assert again == sync
    assert again["streams"] == [stream]
    assert again["retry"]["initial"] == "1.5s"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"source": "nowhere"}, "body.source"),
        ({"source": None}, "body.source"),
        ({"streams": []}, "body.streams"),
        ({"streams": [{"name": "o", "sync_mode": "sometimes"}]}, "body.streams.0.sync_mode"),
        ({"streams": ["a", "a"]}, "body.streams.1"),
        ({"retry": {"max_attempts": 0}}, "body.retry.max_attempts"),
        ({"name": "Not a word"}, "body.name"),
    ],
)
def test_what_is_wrong_with_a_sync_is_named_by_its_field(api, body, field):
    """R148."""
    connected(api), connected(api, "house")
    wanted = {"name": "o", "source": "shop", "destination": "house", "streams": ["o"], **body}

    answer = api.post(SYNCS, json=wanted)

    assert answer.status_code == 422
    assert field in [one["field"] for one in answer.json()["errors"]]


def test_what_is_used_is_not_removed(api, launched):
    connection, _ = connected(api), connected(api, "house")
    sync, other = synced(api), synced(api, "units")
    api.post(
        "/api/v2/sync-schedules",
        json={"sync": "units", "name": "n", "cadence": {"type": "after", "sync": "orders"}},
    )

    used = api.delete(f"{CONNECTIONS}/{connection['id']}")
    awaited = api.delete(f"{SYNCS}/{sync['id']}")
    api.post(f"{SYNCS}/{other['id']}/trigger")
    busy = api.delete(f"{SYNCS}/{other['id']}")

    assert [one.status_code for one in (used, awaited, busy)] == [409, 409, 409]
    assert "orders" in used.json()["detail"]


def test_an_older_etag_changes_no_connection_and_no_sync(api, world):
    connection, _ = connected(api), connected(api, "house")
    sync = synced(api)
    urls = f"{CONNECTIONS}/{connection['id']}", f"{SYNCS}/{sync['id']}"
    seen = [api.get(url).headers["ETag"] for url in urls]
    world.clock.advance(seconds=1)
    api.put(urls[0], json={"config": {"url": URL + "2"}})
    api.patch(urls[1], json={"description": "mine"})

    answers = [
        api.request(method, url, json={}, headers={"If-Match": etag})
        for url, etag in zip(urls, seen, strict=True)
        for method in ("PATCH", "DELETE")
    ]

    assert {one.status_code for one in answers} == {412}


def test_connectors_tell_what_they_take(api):
    (one, *_) = api.get("/api/v2/connectors").json()["items"]

    assert one["name"] == "database"
    assert one["secret_fields"] == ["url"]
    assert "url" in one["config_schema"]["properties"]
    assert api.get("/api/v2/connectors/nowhere").status_code == 404
    assert api.get(f"{SYNCS}/{uuid4()}").status_code == 404


def test_every_url_of_a_connector_that_says_nothing_of_its_reach_is_looked_at():
    from pydantic import BaseModel, SecretStr

    class Config(BaseModel):
        base: SecretStr
        more: list[dict[str, str]]

    found = registry.Connector(name="x", title="X", config=Config).reached(
        {"base": "https://10.0.0.7/api", "more": [{"u": "file:///etc/passwd"}]}
    )

    assert found == Reach(hosts=("10.0.0.7",), files=("/etc/passwd",))

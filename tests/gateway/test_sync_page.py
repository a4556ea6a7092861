"""Where the link of a notification leads."""

from urllib.parse import parse_qs, urlsplit

import pytest

from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.model.execution import Status
from sync_pipelines.model.roles import Role
from tests.engine.ending import end
from tests.gateway.people import token


@pytest.fixture
def sync(world):
    found = world.sync("acme/orders")
    world.sync("rival/orders")
    started = trigger(world.catalog, found, now=world.clock())
    end(world, started, Status.COMPLETED, changes=1234)
    return found


def test_it_tells_what_became_of_a_sync_lately(client, world, sync):
    answer = client.get("/syncs/acme/orders", headers=token(world, "acme", Role.VIEWER))

    assert answer.status_code == 200
    assert "Succeeded" in answer.text
    assert "1,234" in answer.text
    assert "No run is scheduled" in answer.text


def test_who_is_not_signed_in_signs_in_and_comes_back(client, sync):
    answer = client.get("/syncs/acme/orders", follow_redirects=False)

    target = urlsplit(answer.headers["Location"])
    assert answer.status_code == 303
    assert target.path == "/sign-in"
    assert parse_qs(target.query)["next"] == ["/syncs/acme/orders"]


@pytest.mark.parametrize("key", ["rival/orders", "acme/nothing", "nobody/orders"])
def test_what_is_not_ones_own_is_not_there(client, world, sync, key):
    """R127."""
    answer = client.get(f"/syncs/{key}", headers=token(world, "acme", Role.ADMIN))

    assert answer.status_code == 404

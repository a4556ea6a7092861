"""A provider that tells of things, and a client that asks it."""

import pytest

from connectors.testing.fake_api import FakeApi, Reply
from tests.connectors.http.calling import Time, opened


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def api(time):
    with FakeApi(clock=lambda: time.now) as api:
        api.route("GET", "/things", lambda request: Reply.json({"things": [1.10, 2]}))
        api.route("POST", "/things", lambda request: Reply.json({"id": 1}))
        yield api


@pytest.fixture
def client(api, time):
    client = opened(api, time)
    yield client
    client.close()

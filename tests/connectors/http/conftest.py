"""A provider that tells of things, and clients that ask it."""

from contextlib import ExitStack

import pytest

from connectors.http.client import HttpClient, Limits
from connectors.testing.fake_api import FakeApi, Reply
from tests.connectors.http.times import Time


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
def opened(api, time):
    """Opens clients of the provider, which are closed in the end."""
    with ExitStack() as left:

        def opened(*, auth=None, limits=Limits(), **how):  # noqa: B008
            signer = {} if auth is None else {"signer": auth.signer(None, time.outside)}
            how = {"allow_private": True, "outside": time.outside, **signer, **how}
            client = HttpClient(base_url=api.url, limits=limits, **how)
            left.callback(client.close)
            return client

        yield opened


@pytest.fixture
def client(opened):
    return opened()

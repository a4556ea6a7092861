"""An API at a time that stands still."""

from collections.abc import Iterator

import pytest

from connectors.testing.fake_api import FakeApi
from tests.world import START


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with FakeApi(clock=lambda: START) as api:
        yield api

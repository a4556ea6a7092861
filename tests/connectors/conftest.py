"""A provider's API that does what it is told."""

from collections.abc import Iterator

import pytest

from connectors.testing.fake_api import FakeApi


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with FakeApi() as api:
        yield api

"""Sources that are opened by their configuration."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from connectors import registry
from connectors.contract import Source
from connectors.testing.fake_api import FakeApi
from tests.connectors.rest_systems import config


@pytest.fixture
def opened(api: FakeApi) -> Iterator[Callable[..., Source]]:
    """Opens sources of these streams, which are closed in the end."""
    with ExitStack() as left:

        def opened(*streams, **more):
            source = registry.get("rest_api").open_source(config(api.url, *streams, **more))
            left.callback(source.close)
            return source

        yield opened

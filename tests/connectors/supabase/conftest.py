"""A project behind its API, and a destination whose tables somebody makes."""

import pytest

from connectors.testing.fake_api import FakeApi
from tests.providers.postgrest import Project
from tests.providers.supabase import Base, DestinationSystem


@pytest.fixture
def project(api: FakeApi, postgres_url: str) -> Project:
    return Base(api, postgres_url).project


@pytest.fixture
def system(api: FakeApi, postgres_url: str) -> DestinationSystem:
    return DestinationSystem(api, postgres_url)

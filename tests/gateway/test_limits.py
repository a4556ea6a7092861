"""How much may be asked for."""

from datetime import timedelta

import pytest

from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.gateway.limits import Buckets, check_manual_triggers
from sync_pipelines.gateway.problems import ProblemError
from sync_pipelines.model.execution import Trigger
from sync_pipelines.settings import Settings
from tests.gateway.people import token
from tests.world import FakeClock


@pytest.fixture
def settings():
    return Settings(
        token_requests_per_second=2, tenant_requests_per_second=3, manual_triggers_per_hour=2
    )


def test_a_bucket_gives_a_burst_and_then_its_rate():
    clock = FakeClock()
    buckets = Buckets(2, clock=clock)

    burst = [buckets.take("a") for _ in range(11)]
    clock.advance(seconds=0.5)
    later = [buckets.take("a") for _ in range(2)]

    assert burst == [timedelta(0)] * 10 + [timedelta(seconds=0.5)]
    assert later == [timedelta(0), timedelta(seconds=0.5)]
    assert buckets.take("b") == timedelta(0)


def test_a_clock_that_is_set_back_neither_fills_nor_empties_a_bucket():
    clock = FakeClock()
    buckets = Buckets(1, clock=clock)
    for _ in range(5):
        buckets.take("a")
    clock.advance(hours=-1)

    assert buckets.take("a") == timedelta(seconds=1)


def test_a_token_that_asks_too_often_waits_and_others_do_not(client, world):
    """R130."""
    busy, quiet = token(world, "acme"), token(world, "rival")
    codes = [client.get("/api/v2/me", headers=busy).status_code for _ in range(11)]

    refused = client.get("/api/v2/me", headers=busy)

    assert codes == [200] * 10 + [429]
    assert refused.headers["Retry-After"] == "1"
    assert client.get("/api/v2/me", headers=quiet).status_code == 200


def test_a_tenants_tokens_share_its_limit(client, world):
    """R134."""
    both = [token(world, "acme"), token(world, "acme")]
    codes = [client.get("/api/v2/tokens", headers=both[n % 2]).status_code for n in range(16)]

    assert codes == [200] * 15 + [429]


def test_wrong_credentials_of_one_address_are_slowed_down(client):
    codes = [
        client.get("/api/v2/me", headers={"Authorization": "Bearer x"}).status_code
        for _ in range(11)
    ]

    assert codes == [401] * 10 + [429]


def test_a_tenant_starts_so_many_by_hand_in_an_hour(world, settings):
    """R130, R134. Of another tenant, or started by a schedule, is not counted."""
    sync, other = world.sync("acme/orders"), world.sync("rival/orders")
    view = world.catalog.as_tenant(sync.tenant_id)
    for one, reason in ((sync, Trigger.MANUAL), (sync, Trigger.REALTIME), (other, Trigger.MANUAL)):
        trigger(world.catalog, one, now=world.clock(), reason=reason)
    check_manual_triggers(view, settings, now=world.clock())
    world.clock.advance(minutes=20)
    trigger(view, sync, now=world.clock())

    with pytest.raises(ProblemError) as refused:
        check_manual_triggers(view, settings, now=world.clock())

    assert refused.value.headers["Retry-After"] == "2400"
    world.clock.advance(minutes=40)
    check_manual_triggers(view, settings, now=world.clock())

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_pipelines.model.breaker import Breaker, BreakerPolicy
from tests.world import START

POLICY = BreakerPolicy(failures=3, probe_after=timedelta(minutes=5), ceiling=timedelta(hours=1))


def after(failures, policy=POLICY, now=START):
    breaker = Breaker()
    for _ in range(failures):
        breaker = breaker.failed(policy, now)
    return breaker


def test_a_breaker_opens_with_the_last_of_so_many_failures_in_a_row():
    """R88."""
    assert after(2) == Breaker(failures=2)
    assert after(3) == Breaker(failures=3, opened_at=START, probe_at=START + timedelta(minutes=5))
    assert not after(2).bars(START)
    assert after(3).bars(START)


def test_ten_failures_open_it_unless_a_tenant_says_otherwise():
    assert after(9, BreakerPolicy()).opened_at is None
    assert after(10, BreakerPolicy()).opened_at == START


def test_success_forgets_everything():
    assert after(2).succeeded().failed(POLICY, START).failures == 1
    assert after(5).succeeded() == Breaker()


def test_it_bars_until_the_probe_is_due_and_not_a_moment_longer():
    opened = after(3)

    assert opened.bars(START + timedelta(minutes=5) - timedelta(microseconds=1))
    assert not opened.bars(START + timedelta(minutes=5))


def test_each_failed_probe_waits_longer_up_to_the_ceiling():
    """R88."""
    waits = []
    breaker, now = after(3), START
    for _ in range(6):
        waits.append((breaker.probe_at - now) / timedelta(minutes=1))
        now = breaker.probe_at
        breaker = breaker.failed(POLICY, now)

    assert waits == [5, 10, 20, 40, 60, 60]
    assert breaker.opened_at == START


def test_while_a_probe_is_under_way_there_is_no_second_one():
    opened = after(4)
    now = opened.probe_at

    probing = opened.probing(POLICY, now)

    assert probing.bars(now)
    assert probing.probe_at == now + timedelta(minutes=10)
    assert probing.probes == opened.probes
    assert Breaker().probing(POLICY, now) == Breaker()


@given(st.integers(0, 5_000), st.floats(1, 1e6))
def test_no_number_of_failed_probes_waits_longer_than_the_ceiling(probes, factor):
    policy = BreakerPolicy(failures=1, factor=factor)
    opened = Breaker(failures=1, opened_at=START, probes=probes, probe_at=START)

    wait = opened.failed(policy, START).probe_at - START

    assert policy.probe_after <= wait <= policy.ceiling


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("failures", 0),
        ("probe_after", timedelta(0)),
        ("ceiling", timedelta(seconds=1)),
        ("factor", 0.5),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_by_name(field, value):
    with pytest.raises(ValueError, match=field):
        BreakerPolicy(**{field: value})

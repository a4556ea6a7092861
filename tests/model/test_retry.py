from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_pipelines.model.retry import PATIENCE, RetryPolicy

seconds = st.floats(0, 10_000).map(lambda value: timedelta(seconds=value))


@st.composite
def policies(draw):
    initial = draw(seconds)
    return RetryPolicy(
        max_attempts=draw(st.integers(1, 200)),
        initial=initial,
        factor=draw(st.floats(1, 10)),
        ceiling=initial + draw(seconds),
        jitter=draw(st.floats(0, 1)),
    )


def test_delays_double_until_the_ceiling():
    """R85."""
    policy = RetryPolicy(max_attempts=9, ceiling=timedelta(seconds=10), jitter=0)

    waits = [policy.delay(attempt, Random(1)).total_seconds() for attempt in range(1, 6)]

    assert waits == [2, 4, 8, 10, 10]


@given(policies(), st.integers(1, 199), st.integers())
def test_a_delay_never_passes_the_ceiling_by_more_than_the_jitter(policy, attempt, seed):
    """R86, R87."""
    wait = policy.delay(attempt, Random(seed))

    if attempt >= policy.max_attempts:
        assert wait is None
    else:
        slack = timedelta(microseconds=1)
        assert timedelta(0) <= wait <= policy.ceiling * (1 + policy.jitter) + slack


def test_a_delay_that_no_float_holds_is_the_ceiling():
    policy = RetryPolicy(max_attempts=100, factor=1e6, jitter=0)

    assert policy.delay(90, Random(1)) == policy.ceiling


@given(policies(), seconds, st.integers())
def test_a_rate_limit_longer_than_the_ceiling_is_obeyed(policy, retry_after, seed):
    """R78."""
    wait = policy.delay(1, Random(seed), retry_after=retry_after)

    assert wait is None or wait >= retry_after


def test_after_an_attempt_that_moved_data_waiting_starts_again():
    """R86."""
    policy = RetryPolicy(max_attempts=3, jitter=0)

    waits = [policy.delay(7, Random(1), fruitless=fruitless) for fruitless in (0, 1, 2, 3)]

    assert waits == [timedelta(seconds=2), timedelta(seconds=2), timedelta(seconds=4), None]


@given(policies(), st.integers(1, 2_000), st.integers(0, 200))
def test_patience_ends_some_time_however_far_each_attempt_gets(policy, attempt, fruitless):
    """R86."""
    wait = policy.delay(attempt, Random(1), fruitless=fruitless)

    is_over = fruitless >= policy.max_attempts or attempt >= policy.max_attempts * PATIENCE
    assert (wait is None) == (is_over or policy.max_attempts == 1)


def test_jitter_spreads_attempts_that_failed_together():
    """R87."""
    policy = RetryPolicy(jitter=0.5)

    waits = {policy.delay(1, Random(seed)) for seed in range(50)}

    assert len(waits) > 40


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_attempts", 0),
        ("factor", 0.5),
        ("jitter", 1.5),
        ("ceiling", timedelta(seconds=1)),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_by_name(field, value):
    with pytest.raises(ValueError, match=field):
        RetryPolicy(**{field: value})

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_pipelines.model.retention import Ending, RetentionPolicy

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Past:
    """An execution that has ended, hours ago."""

    ending: Ending
    created_at: datetime
    ended_at: datetime


@st.composite
def pasts(draw):
    created = NOW - timedelta(hours=draw(st.integers(0, 3000)))
    took = timedelta(minutes=draw(st.integers(0, 60 * 24 * 40)))
    return Past(draw(st.sampled_from(Ending)), created, min(NOW, created + took))


histories = st.lists(pasts(), max_size=40)
policies = st.builds(
    RetentionPolicy,
    executions_for=st.integers(1, 2000).map(lambda hours: timedelta(hours=hours)),
    successes=st.integers(1, 6),
    failures=st.integers(1, 6),
)


def kept(history, policy, now=NOW):
    """What is left of a sync's history once the policy was applied."""
    left = []
    for past in history:
        same = sorted(
            (one.created_at for one in history if one.ending is past.ending), reverse=True
        )
        least = policy.at_least(past.ending)
        oldest = same[least - 1] if 0 < least <= len(same) else None
        bound = policy.bound(past.ending, now=now, oldest_kept=oldest)
        forgotten = (
            bound.created is not None
            and past.created_at < bound.created
            and past.ended_at < bound.ended
        )
        if not forgotten:
            left.append(past)
    return left


@given(histories, policies)
def test_the_last_successes_and_failures_are_kept_however_old(history, policy):
    """R110."""
    left = kept(history, policy)

    for ending in (Ending.SUCCESS, Ending.FAILURE):
        before = [past for past in history if past.ending is ending]
        latest = sorted(before, key=lambda past: past.created_at)[-policy.at_least(ending) :]
        assert all(past in left for past in latest)


@given(histories, policies)
def test_nothing_that_ended_lately_is_forgotten_and_nothing_else_is_kept_without_reason(
    history, policy
):
    left = kept(history, policy)

    lately = [past for past in history if past.ended_at >= NOW - policy.executions_for]
    assert all(past in left for past in lately)
    for ending in Ending:
        old = [past for past in left if past.ending is ending and past not in lately]
        # Of those that came to be at one moment, all are kept or none.
        assert len({past.created_at for past in old}) <= policy.at_least(ending)


@given(histories, policies, st.integers(0, 500))
def test_what_was_forgotten_once_would_be_forgotten_ever_after(history, policy, hours):
    left = kept(history, policy)
    later = NOW + timedelta(hours=hours)

    assert kept(left, policy) == left
    assert kept(left, policy, later) == kept(history, policy, later)


@pytest.mark.parametrize(
    "wrong",
    [
        {"successes": 0},
        {"failures": 0},
        {"executions_for": timedelta(0)},
        {"runs_for": -timedelta(days=1)},
    ],
)
def test_a_policy_that_would_forget_everything_is_refused(wrong):
    with pytest.raises(ValueError, match="kept"):
        RetentionPolicy(**wrong)

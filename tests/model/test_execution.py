from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sync_pipelines.model.execution import (
    FINAL,
    Execution,
    IllegalTransition,
    Status,
    Trigger,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def execution(status=Status.PENDING):
    return Execution(
        id=uuid4(),
        tenant_id=uuid4(),
        sync_id=uuid4(),
        sync_key="acme/orders",
        connector="database",
        connection="shop",
        trigger=Trigger.MANUAL,
        status=status,
        created_at=NOW,
    )


LEGAL = {
    "queued": {Status.PENDING},
    "started": {Status.PENDING, Status.QUEUED},
    "postponed": {Status.PENDING, Status.QUEUED},
    "to_retry": {Status.RUNNING, Status.QUEUED},
    Status.COMPLETED: {Status.RUNNING},
    Status.PARTIAL: {Status.RUNNING},
    Status.FAILED: {Status.PENDING, Status.QUEUED, Status.RUNNING},
    Status.CANCELLED: {Status.PENDING, Status.QUEUED, Status.RUNNING},
}


def apply(before, move):
    if isinstance(move, Status):
        return before.ended(move, NOW)
    arguments = (NOW, "run-1") if move == "started" else (NOW,)
    return getattr(before, move)(*arguments)


@pytest.mark.parametrize("move", LEGAL, ids=str)
@pytest.mark.parametrize("status", Status)
def test_exactly_the_legal_transitions_are_allowed(status, move):
    """R82."""
    before = execution(status)

    if status in LEGAL[move]:
        assert apply(before, move).status is not None
    else:
        with pytest.raises(IllegalTransition):
            apply(before, move)


@given(st.lists(st.sampled_from(list(LEGAL)), max_size=30))
def test_a_final_status_never_changes_and_attempts_only_grow(moves):
    now = execution()
    for move in moves:
        try:
            after = apply(now, move)
        except IllegalTransition:
            continue

        assert now.status not in FINAL
        assert after.attempt == now.attempt + (move == "to_retry")
        assert after.started_at is None or now.started_at in (None, after.started_at)
        now = after


def test_a_retry_keeps_when_the_execution_first_started():
    later = NOW + timedelta(hours=1)

    again = execution().started(NOW, "run-1").to_retry(later).started(later, "run-2")

    assert again.started_at == NOW
    assert again.attempt == 2
    assert again.run_id == "run-2"


class Life(RuleBasedStateMachine):
    """Any order of calls: what is refused leaves the execution as it was."""

    def __init__(self):
        super().__init__()
        self.now = execution()

    @rule(move=st.sampled_from(list(LEGAL)))
    def move(self, move):
        before = self.now
        try:
            self.now = apply(before, move)
        except IllegalTransition:
            assert self.now is before

    @invariant()
    def a_completed_execution_says_when(self):
        assert (self.now.completed_at is not None) == self.now.status.is_final


TestLife = Life.TestCase

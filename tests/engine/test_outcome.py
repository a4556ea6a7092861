from datetime import timedelta
from random import Random

import pytest

from connectors.contract import Committed, Counts, State
from connectors.errors import (
    AuthError,
    ConfigError,
    ContractError,
    EmptySourceError,
    RateLimitedError,
    TransientError,
)
from sync_pipelines.engine.outcome import ErrorClass, Failure, StreamResult, decide, is_further
from sync_pipelines.engine.progress import CancelledError
from sync_pipelines.model.execution import Status
from sync_pipelines.model.retry import RetryPolicy
from tests.world import START

POLICY = RetryPolicy(max_attempts=3, jitter=0)


def done(stream="a"):
    return StreamResult(stream=stream, counts=Counts(processed=1))


def failed(error, stream="b"):
    return StreamResult(stream=stream, failure=Failure.of(error))


def judge(*results, attempt=1, fruitless=None):
    return decide(
        results,
        attempt=attempt,
        fruitless=attempt - 1 if fruitless is None else fruitless,
        policy=POLICY,
        now=START,
        rng=Random(1),
    )


@pytest.mark.parametrize(
    ("error", "kind", "retried"),
    [
        (ConfigError("x"), ErrorClass.CONFIG, False),
        (AuthError("x"), ErrorClass.AUTH, False),
        (EmptySourceError("x"), ErrorClass.CONFIG, False),
        (ContractError("x"), ErrorClass.CONTRACT, False),
        (TransientError("x"), ErrorClass.TRANSIENT, True),
        (RateLimitedError("x"), ErrorClass.RATE_LIMITED, True),
        (ZeroDivisionError("x"), ErrorClass.UNEXPECTED, True),
    ],
)
def test_an_error_is_retried_only_if_a_retry_can_help(error, kind, retried):
    """R85: config errors are never retried."""
    failure = Failure.of(error)

    assert failure.error_class is kind
    assert judge(failed(error)).status is (Status.PENDING if retried else Status.FAILED)


def test_all_streams_through_is_completed():
    assert judge(done("a"), done("b")).status is Status.COMPLETED


def test_some_streams_through_is_partial_when_nothing_more_can_be_tried():
    """R65."""
    outcome = judge(done(), failed(ConfigError("no column x")))

    assert outcome.status is Status.PARTIAL
    assert outcome.failure.message == "no column x"


def test_a_stream_that_a_retry_can_mend_is_retried_although_another_cannot():
    outcome = judge(failed(ConfigError("x")), failed(TransientError("y")))

    assert outcome.status is Status.PENDING
    assert outcome.retry_at == START + timedelta(seconds=2)


def test_the_last_attempt_is_final():
    """R86."""
    outcome = judge(failed(TransientError("down")), attempt=3)

    assert outcome.status is Status.FAILED
    assert outcome.retry_at is None


def test_the_longest_wait_that_a_provider_asked_for_is_kept():
    """R78, R93."""
    outcome = judge(
        failed(RateLimitedError("x", retry_after=timedelta(minutes=1)), "a"),
        failed(RateLimitedError("x", retry_after=timedelta(hours=1)), "b"),
    )

    assert outcome.retry_at == START + timedelta(hours=1)


def test_a_cancelled_attempt_is_not_retried_whatever_else_failed():
    outcome = judge(failed(TransientError("x")), failed(CancelledError("stop")))

    assert outcome.status is Status.CANCELLED


def test_any_stream_that_moved_makes_the_attempt_one_that_moved():
    """R86: the budget of retries is larger while attempts make progress."""
    stuck = failed(TransientError("down"), "a")
    moved = StreamResult(stream="b", failure=stuck.failure, moved=True)

    outcome = judge(stuck, moved, attempt=3, fruitless=2)

    assert outcome.status is Status.PENDING
    assert outcome.moved
    assert outcome.retry_at == START + timedelta(seconds=2)
    assert judge(stuck, stuck, attempt=3, fruitless=2).status is Status.FAILED


def held(number, *, processed, finished=False):
    state = State(version=1, value={"n": number})
    return Committed(state=state, counts=Counts(processed=processed), finished=finished)


@pytest.mark.parametrize(
    ("before", "after", "further"),
    [
        (Committed(), Committed(), False),
        (held(1, processed=5), held(1, processed=5), False),
        (held(1, processed=5), held(1, processed=6), False),
        (held(1, processed=5), held(2, processed=6), True),
        (held(1, processed=5), held(1, processed=6, finished=True), True),
        (held(1, processed=5), held(1, processed=5, finished=True), False),
        (held(1, processed=5, finished=True), held(1, processed=5, finished=True), False),
        (Committed(), Committed(counts=Counts(processed=3), finished=True), True),
    ],
)
def test_a_stream_is_further_when_its_state_has_moved_or_all_of_it_is_there(before, after, further):
    assert is_further(before, after) is further

"""What the client sends again, how long it waits, and what it makes of an answer."""

from random import Random
from uuid import UUID

import httpx
import pytest

from sync_pipelines.client import ApiError, UnreachableError
from sync_pipelines.client.transport import Transport, path_of


@pytest.fixture
def waits():
    """The seconds that were waited."""
    return list[float]()


@pytest.fixture
def sending(waits):
    """Makes a transport that is given these answers, one after another; the last goes on."""

    def sending(*answers):
        coming = iter(answers)
        last = answers[-1]
        http = httpx.Client(
            base_url="http://here",
            transport=httpx.MockTransport(lambda request: next(coming, last)()),
        )
        return Transport(http, sleep=waits.append, rng=Random(1))

    return sending


def busy(seconds=None):
    return lambda: httpx.Response(503, headers={} if seconds is None else {"Retry-After": seconds})


def fine():
    return httpx.Response(200, json={})


def lost():
    raise httpx.ConnectError("refused")


def test_a_gateway_that_is_busy_is_asked_again_as_late_as_it_says(sending, waits):
    answer = sending(busy("7"), busy("3600"), fine).send("GET", "/")

    assert answer.status_code == 200
    assert waits == [7.0, 30.0]


@pytest.mark.parametrize(
    ("answer", "error"),
    [(busy(), ApiError), (busy("Wed, 21 Oct"), ApiError), (lost, UnreachableError)],
)
def test_nobody_is_asked_more_than_five_times_and_each_wait_is_longer(
    sending, waits, answer, error
):
    with pytest.raises(error):
        sending(answer).send("GET", "/")

    bounds = [(0.25 * 2**attempt / 2, 0.25 * 2**attempt) for attempt in (1, 2, 3, 4)]
    assert len(waits) == 4
    assert all(least <= wait <= most for wait, (least, most) in zip(waits, bounds, strict=True))


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"[]", b"{}", b"null"])
def test_what_a_proxy_answers_is_an_error_of_its_status(sending, body):
    transport = sending(lambda: httpx.Response(502, content=body))

    with pytest.raises(ApiError) as told:
        transport.send("GET", "/")

    assert (told.value.status, told.value.detail) == (502, "Bad Gateway")
    assert (told.value.errors, told.value.request_id) == ((), None)


def test_each_part_of_a_path_stays_one():
    path = path_of("syncs", "../tokens?x=1", UUID(int=1))

    assert path == "/api/v2/syncs/..%2Ftokens%3Fx%3D1/00000000-0000-0000-0000-000000000001"

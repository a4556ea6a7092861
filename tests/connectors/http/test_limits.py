"""Limits of a provider: Retry-After and quotas are obeyed, rates and numbers of calls are kept."""

from datetime import timedelta
from email.utils import format_datetime
from threading import Thread
from time import sleep

import pytest

from connectors.errors import RateLimitedError
from connectors.http.client import Limits
from connectors.http.outside import Outside
from connectors.surroundings import Rate
from connectors.testing.fake_api import Reply, throttled
from tests.connectors.http.times import NOW


def test_retry_after_in_seconds_is_obeyed(api, client, time):
    api.at(1, throttled("7"))

    client.get("things")

    assert 7 <= sum(time.slept) < 8


def test_retry_after_as_a_date_is_obeyed_by_the_providers_own_clock(api, client, time):
    """R78: clock skew does not shorten the wait."""
    api.clock = lambda: time.now - timedelta(hours=3)
    until = format_datetime(time.now - timedelta(hours=3) + timedelta(seconds=9), usegmt=True)
    api.at(1, throttled(until))

    client.get("things")

    assert 9 <= sum(time.slept) < 10


def test_a_wait_beyond_the_budget_is_handed_on(api, client, time):
    """Law 4: a worker is not held; the schedule waits."""
    api.at(1, throttled("600"))

    with pytest.raises(RateLimitedError) as told:
        client.get("things")

    assert told.value.retry_after == timedelta(seconds=600)
    assert time.slept == []


def test_a_reset_header_stands_in_for_retry_after(api, client, time):
    api.at(1, throttled(**{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "12"}))

    client.get("things")

    assert 12 <= sum(time.slept) < 14


@pytest.mark.parametrize(
    "headers",
    [
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW.timestamp()) + 5)},
        {"RateLimit-Remaining": "0", "RateLimit-Reset": "5"},
        {"RateLimit": '"default";r=0;t=5'},
    ],
)
def test_the_next_call_waits_when_nothing_remains(api, client, time, headers):
    api.route("GET", "/last", lambda request: Reply.json({}, headers=headers))
    client.get("last")

    client.get("things")

    assert sum(time.slept) == pytest.approx(5)


def test_a_rate_is_kept(time, opened):
    limits = Limits(rate=Rate(calls=10, per=timedelta(seconds=1)))
    client = opened(limits=limits)
    made = []
    for _ in range(40):
        client.get("things")
        made.append(time.now)

    spans = [sum(1 for at in made if start <= at < start + timedelta(seconds=1)) for start in made]
    assert max(spans) <= 10
    assert made[-1] - made[0] < timedelta(seconds=6)


def test_no_more_calls_are_under_way_than_may_be(api, opened):
    client = opened(limits=Limits(concurrency=2), outside=Outside())
    under_way, most = [], []

    def count(request):
        under_way.append(1)
        most.append(len(under_way))
        sleep(0.03)
        under_way.pop()
        return Reply.json({})

    api.route("GET", "/slow", count)
    threads = [Thread(target=client.get, args=("slow",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert max(most) == 2

"""What a client asks for again, and when it gives up."""

from threading import Thread

import pytest

from connectors.errors import TransientError
from connectors.http.call import Call
from connectors.http.client import Limits
from connectors.http.outside import Outside
from connectors.testing.fake_api import cut_off, damaged, failing, html_page, slow, throttled


@pytest.mark.parametrize(
    "fault", [failing(500), failing(503), cut_off(5), throttled("0"), throttled()]
)
def test_what_passes_is_tried_again(api, client, fault):
    api.at(1, fault, fault)

    assert client.get("/things").status == 200
    assert len(api.requests) == 3


@pytest.mark.parametrize("fault", [damaged, html_page])
def test_a_body_that_cannot_be_read_is_asked_for_again(api, client, fault):
    api.at(1, fault)

    body = client.fetch(Call(path="things"), lambda answer: answer.json())

    assert body["things"][1] == 2
    assert len(api.requests) == 2


def test_waits_grow_with_full_jitter_up_to_a_ceiling(api, client, time):
    api.at(1, *[failing(500)] * 9)

    with pytest.raises(TransientError, match="500"):
        client.get("things")

    assert time.slept == [0.25, 0.5, 1.0, 2.0]
    assert len(api.requests) == 5


def test_what_may_have_been_done_is_not_done_twice(api, client):
    api.at(1, failing(500))

    with pytest.raises(TransientError):
        client.send(Call(path="things", method="POST", body=b"{}", repeatable=False))

    assert len(api.requests) == 1


def test_a_provider_that_is_too_slow_is_given_up(api, opened):
    limits = Limits(read_seconds=0.1, tries=1)
    client = opened(limits=limits)
    api.at(1, slow(0.5))

    with pytest.raises(TransientError, match=r"in time \(0.1 s\)"):
        client.get("things")


def test_an_interruption_ends_a_wait(api, opened):
    client = opened(outside=Outside())
    api.at(1, throttled("30"))

    def call():
        with pytest.raises(TransientError):
            client.get("things")

    thread = Thread(target=call)
    thread.start()
    while not api.requests:
        pass
    client.stop()
    thread.join(5)

    assert not thread.is_alive()
    client.close()  # and the fixture once more: it is safe to call twice

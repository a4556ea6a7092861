"""The HTTP client: what it tries again, what it refuses, what it never says."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from gzip import compress
from threading import Thread
from time import monotonic, sleep

import pytest

from connectors.addresses import is_refused
from connectors.errors import AuthError, ConfigError, RateLimitedError, TransientError
from connectors.http.addresses import GuardedBackend
from connectors.http.call import Call
from connectors.http.client import HttpClient, Limits
from connectors.http.oauth import basic
from connectors.http.outside import Outside
from connectors.rest.auth import BasicAuth, BearerAuth, HeaderKeyAuth, QueryKeyAuth
from connectors.surroundings import Rate
from connectors.testing.fake_api import (
    FakeApi,
    Reply,
    cut_off,
    damaged,
    failing,
    html_page,
    slow,
    throttled,
    unauthorized,
)

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SECRET = "s3cr3t+/key"


class Time:
    """Stands still but for what is slept."""

    def __init__(self):
        self.now = NOW
        self.slept = []

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)

    @property
    def outside(self):
        return Outside(now=lambda: self.now, chance=lambda: 0.5, sleep=self.sleep)


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def api(time):
    with FakeApi(clock=lambda: time.now) as api:
        api.route("GET", "/things", lambda request: Reply.json({"things": [1.10, 2]}))
        api.route("POST", "/things", lambda request: Reply.json({"id": 1}))
        yield api


@pytest.fixture
def client(api, time):
    client = opened(api, time)
    yield client
    client.close()


def opened(api, time, *, auth=None, limits=Limits(), **how):  # noqa: B008
    signer = {} if auth is None else {"signer": auth.signer(None, time.outside)}
    how = {"allow_private": True, "outside": time.outside, **signer, **how}
    return HttpClient(base_url=api.url, limits=limits, **how)


def test_a_number_keeps_its_digits(client):
    assert str(client.get("things").json()["things"]) == "[Decimal('1.1'), 2]"


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


def test_a_rate_is_kept(api, time):
    limits = Limits(rate=Rate(calls=10, per=timedelta(seconds=1)))
    client = opened(api, time, limits=limits)
    made = []
    for _ in range(40):
        client.get("things")
        made.append(time.now)

    spans = [sum(1 for at in made if start <= at < start + timedelta(seconds=1)) for start in made]
    assert max(spans) <= 10
    assert made[-1] - made[0] < timedelta(seconds=6)
    client.close()


def test_no_more_calls_are_under_way_than_may_be(api, time):
    client = HttpClient(base_url=api.url, limits=Limits(concurrency=2), allow_private=True)
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
    client.close()


def test_what_may_have_been_done_is_not_done_twice(api, client):
    api.at(1, failing(500))

    with pytest.raises(TransientError):
        client.send(Call(path="things", method="POST", body=b"{}", repeatable=False))

    assert len(api.requests) == 1


def test_a_provider_that_is_too_slow_is_given_up(api, time):
    limits = Limits(read_seconds=0.1, tries=1)
    client = opened(api, time, limits=limits)
    api.at(1, slow(0.5))

    with pytest.raises(TransientError, match=r"in time \(0.1 s\)"):
        client.get("things")
    client.close()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, ConfigError),
        (401, AuthError),
        (403, AuthError),
        (404, ConfigError),
        (422, ConfigError),
    ],
)
def test_a_refusal_is_told_in_the_providers_words_and_not_tried_again(api, client, status, error):
    said = {"errors": [{"message": "per_page must be at most 100"}]}
    api.route("GET", "/no", lambda request: Reply.json(said, status=status))

    with pytest.raises(error, match="per_page must be at most 100"):
        client.get("no")

    assert len(api.requests) == 1


def test_a_refusal_without_words_names_the_remedy(api, client):
    api.route("GET", "/no", lambda request: Reply(status=401))

    with pytest.raises(AuthError, match="credentials"):
        client.get("no")


def test_an_answer_beyond_the_cap_is_refused_also_when_it_is_compressed(api, time):
    bomb = compress(b" " * 5_000_000)
    api.route("GET", "/big", lambda request: Reply(body=bomb, headers={"Content-Encoding": "gzip"}))
    client = opened(api, time, limits=Limits(answer_bytes=100_000))

    with pytest.raises(ConfigError, match="100,000 bytes"):
        client.get("big")
    client.close()


# Where it goes


def test_a_link_to_another_origin_is_not_followed(client):
    for url in ("http://evil.example/x", "https://127.0.0.1/x", "//evil.example/x?a=://"):
        with pytest.raises(ConfigError, match="one origin"):
            client.send(Call(path=url if "://" in url.partition("?")[0] else f"http:{url}"))


def test_a_redirect_is_not_followed_and_its_target_is_named(api, client):
    to = f"http://elsewhere.example/v2?token={SECRET}"
    api.route("GET", "/old", lambda request: Reply(status=302, headers={"Location": to}))

    with pytest.raises(ConfigError, match=r"http://elsewhere.example/v2 ") as told:
        client.get("old")

    assert SECRET not in str(told.value)
    assert len(api.requests) == 1


def test_a_private_address_is_refused_before_anything_is_sent(api, time):
    client = opened(api, time, allow_private=False)

    with pytest.raises(ConfigError, match="allow_private_addresses"):
        client.get("things")

    assert api.requests == []
    client.close()


def test_a_second_answer_of_the_name_server_helps_nobody():
    """DNS rebinding: each connection is made to the very address that was checked for it."""
    asked, reached = [], []

    def rebinding(host, port):
        asked.append(host)
        return ["8.8.8.8"] if len(asked) == 1 else ["127.0.0.1"]

    class Inner:
        def connect_tcp(self, host, *how):
            reached.append(host)

    backend = GuardedBackend(allow_private=False, resolve=rebinding)
    backend._inner = Inner()  # type: ignore[assignment]

    backend.connect_tcp("shop.example", 443)
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1"):
        backend.connect_tcp("shop.example", 443)

    assert reached == ["8.8.8.8"]
    assert len(asked) == 2


def test_one_private_address_among_others_is_enough_to_refuse(api, time):
    client = opened(
        api, time, allow_private=False, resolve=lambda host, port: ["198.51.100.1", "10.0.0.1"]
    )

    with pytest.raises(ConfigError, match=r"198\.51|10\.0\.0\.1"):
        client.get("things")
    client.close()


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "100.64.0.1", "0.0.0.0", "::1",
     "fc00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "fe80::1%eth0", "224.0.0.1"],
)  # fmt: skip
def test_addresses_inside_are_known_however_they_are_spelled(address):
    assert is_refused(address, allow_private=False)


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254"])
def test_link_local_addresses_are_refused_even_where_private_ones_are_allowed(address):
    assert is_refused(address, allow_private=True)
    assert not is_refused("10.0.0.1", allow_private=True)
    assert not is_refused("8.8.8.8", allow_private=False)


# What it never says

AUTHS = [
    BasicAuth(user="me", password=SECRET),
    BearerAuth(token=SECRET),
    HeaderKeyAuth(header="X-Api-Key", key=SECRET),
    QueryKeyAuth(param="api_key", key=SECRET),
]


@pytest.mark.parametrize("auth", AUTHS, ids=lambda auth: type(auth).__name__)
def test_no_error_contains_a_secret_however_it_is_spelled(api, time, auth, caplog):
    """R106: secrets are in no log and no error."""
    caplog.set_level(0)
    client = opened(api, time, auth=auth, limits=Limits(tries=2))
    spoken = f"key {SECRET} is bad, s3cr3t%2B%2Fkey, {basic('me', SECRET)}"
    answers = [failing(400, spoken), unauthorized, failing(500, spoken), failing(500, spoken)]
    api.at(1, *answers)
    texts = []
    for _ in range(3):
        with pytest.raises((ConfigError, TransientError)) as told:
            client.get("things", note="x")
        texts.append(str(told.value))

    everything = " ".join(texts) + caplog.text + repr(auth) + repr(client.signer)
    assert SECRET not in everything
    assert "s3cr3t" not in everything
    assert basic("me", SECRET).split()[1] not in everything
    client.close()


@pytest.mark.parametrize(
    ("auth", "sent"),
    [
        (AUTHS[0], lambda r: r.headers["authorization"] == basic("me", SECRET)),
        (AUTHS[1], lambda r: r.headers["authorization"] == f"Bearer {SECRET}"),
        (AUTHS[2], lambda r: r.headers["x-api-key"] == SECRET),
        (AUTHS[3], lambda r: r.params == {"api_key": SECRET, "a": "1"}),
    ],
)
def test_credentials_are_sent_where_the_provider_wants_them(api, time, auth, sent):
    client = opened(api, time, auth=auth)

    client.get("things", a=1)

    assert sent(api.requests[0])
    client.close()


def test_an_interruption_ends_a_wait(api):
    client = HttpClient(base_url=api.url, allow_private=True)
    api.at(1, throttled("30"))
    ended = []

    def call():
        with pytest.raises(TransientError):
            client.get("things")
        ended.append(monotonic())

    thread = Thread(target=call)
    thread.start()
    while not api.requests:
        pass
    client.stop()
    thread.join(5)

    assert ended
    client.close()
    client.close()

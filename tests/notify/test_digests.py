"""When digests come, on whose clocks, and what they say."""

import struct
import zlib
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise

import pytest

from sync_pipelines.catalog.notifications import Preferences, put_preferences
from sync_pipelines.engine.outcome import ErrorClass
from sync_pipelines.model.notification import DigestTime, Every, QuietHours, Topic
from sync_pipelines.notify.chart import BAD, Bar, draw
from sync_pipelines.notify.digests import period, tell_digests
from sync_pipelines.notify.quiet import quiet_until

HOUR = timedelta(hours=1)

LONG_AND_MANY = """
UPDATE sync.sync_executions SET records_processed = 20,
    duration_ms = CASE status WHEN 'failed' THEN 9000 ELSE 4000 END
"""


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def tell(told):
    with told.catalog.begin() as db:
        return tell_digests(db, told.clock())


@pytest.mark.parametrize(
    ("zone", "clock", "now", "until"),
    [
        ("Europe/Berlin", time(7), "2026-03-28 12:00", "2026-03-28 06:00"),
        ("Europe/Berlin", time(7), "2026-03-29 12:00", "2026-03-29 05:00"),  # summer begins
        ("Europe/Berlin", time(2, 30), "2026-03-29 12:00", "2026-03-29 01:00"),  # never shown
        ("Europe/Berlin", time(2, 30), "2026-10-25 12:00", "2026-10-25 00:30"),  # shown twice
        ("America/New_York", time(7), "2026-03-08 10:59", "2026-03-07 12:00"),
        ("America/New_York", time(7), "2026-03-08 11:00", "2026-03-08 11:00"),
        ("Pacific/Kiritimati", time(7), "2026-03-08 10:00", "2026-03-07 17:00"),
        ("Asia/Kolkata", time(0), "2026-03-08 18:30", "2026-03-08 18:30"),
    ],
)
def test_a_day_ends_when_the_readers_clock_says_so(zone, clock, now, until):
    found = period(DigestTime(at=clock, timezone=zone), at(now))

    assert found.until == at(until)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("every", list(Every))
def test_periods_join_without_gap_or_overlap_all_year(zone, every):
    when = DigestTime(every=every, at=time(2, 30), weekday=7, timezone=zone)
    start = at("2026-01-01 00:00")

    found = {period(when, start + hours * HOUR) for hours in range(0, 24 * 365, 5)}

    ordered = sorted(found, key=lambda one: one.until)
    assert len(ordered) >= (365 if every is Every.DAILY else 52)
    assert all(one.until == two.since for one, two in pairwise(ordered))


def test_each_recipient_gets_one_on_their_own_clock(told):
    """R101."""
    user = told.user("ana@example.com")
    rule = told.rule(
        recipients=("ana@example.com", "bob@example.com"),
        topics=(Topic.DIGEST,),
        digest=DigestTime(timezone="UTC"),
    )
    zone = Preferences(timezone="America/New_York")
    with told.catalog.begin() as db:
        put_preferences(db, user, zone, tenant_id=rule.tenant_id, now=told.clock())
    told.succeed()

    came: dict[str, datetime] = {}
    for _ in range(24 * 6):
        told.clock.advance(minutes=10)
        tell(told)
        for one in told.posted(rule):
            came.setdefault(one.recipient, told.clock())

    assert came["bob@example.com"] == at("2026-03-03 07:00").replace(second=1)
    assert came["ana@example.com"] == at("2026-03-03 12:00").replace(second=1)
    assert len(told.posted(rule)) == 2


def test_a_digest_says_how_everything_went(told):
    told.shared(["acme/a", "acme/b"])
    rule = told.rule(topics=(Topic.DIGEST,))
    told.world.schedule(told.sync("acme/a"), {"type": "daily"})
    told.sync("acme/idle")
    told.succeed("acme/a")
    told.succeed("acme/a")
    told.fail("acme/b", error=ErrorClass.AUTH)
    told.fail("acme/b", error=ErrorClass.AUTH)
    told.succeed("rival/orders")
    with told.catalog.begin() as db:
        db.exec_driver_sql(LONG_AND_MANY)
    told.clock.advance(hours=20)

    tell(told)

    (message,) = told.posted(rule)
    digest = message.payload["digest"]
    assert (digest["executions"], digest["success_rate"], digest["records"]) == (4, 0.5, 80)
    assert digest["slowest"] == [{"sync": "b", "ms": 9000}, {"sync": "a", "ms": 4000}]
    (cause,) = digest["causes"]
    assert (cause["connection"], cause["class"]) == ("a-source", "auth")
    assert (cause["failures"], cause["syncs"]) == (2, 1)
    assert cause["remedy"]
    assert {one["sync"] for one in digest["stale"]} == {"b", "idle", "orders"}
    assert [one["sync"] for one in digest["upcoming"]] == ["a"]


@pytest.mark.parametrize("when_empty", [False, True])
def test_a_digest_of_nothing_comes_only_if_it_is_wanted(told, when_empty):
    rule = told.rule(topics=(Topic.DIGEST,), digest=DigestTime(when_empty=when_empty))
    told.clock.advance(days=1)

    tell(told)

    assert len(told.posted(rule)) == int(when_empty)


def test_a_rule_that_is_new_gets_no_digest_of_before(told):
    rule = told.rule(topics=(Topic.DIGEST,), digest=DigestTime(at=time(11), when_empty=True))

    tell(told)

    assert told.posted(rule) == []


@pytest.mark.parametrize(
    ("quiet", "now", "until"),
    [
        (("22:00", "07:00", "UTC"), "2026-03-02 23:00", "2026-03-03 07:00"),
        (("22:00", "07:00", "UTC"), "2026-03-02 06:59", "2026-03-02 07:00"),
        (("22:00", "07:00", "UTC"), "2026-03-02 07:00", None),
        (("12:00", "13:00", "Asia/Tokyo"), "2026-03-02 03:30", "2026-03-02 04:00"),
        (("22:00", "02:30", "Europe/Berlin"), "2026-03-29 00:30", "2026-03-29 01:00"),
        (("22:00", "02:30", "Europe/Berlin"), "2026-10-25 00:10", "2026-10-25 00:30"),
        (("22:00", "02:30", "Europe/Berlin"), "2026-10-25 01:10", "2026-10-25 01:30"),
    ],
)
def test_quiet_hours_end_when_the_clock_says_so(quiet, now, until):
    start, end, zone = quiet
    hours = QuietHours(start=time.fromisoformat(start), end=time.fromisoformat(end), timezone=zone)

    assert quiet_until(hours, at(now)) == (at(until) if until else None)


def test_a_chart_is_a_picture_that_others_can_read():
    """By its own chunks: size, no palette, and a checksum each that zlib agrees with."""
    data = draw([Bar(3, 0), Bar(0, 0), Bar(1000, 1)])

    at_, chunks = 8, {}
    while at_ < len(data):
        (length,), name = struct.unpack(">I", data[at_ : at_ + 4]), data[at_ + 4 : at_ + 8]
        body = data[at_ + 8 : at_ + 8 + length]
        assert zlib.crc32(name + body) == struct.unpack(">I", data[at_ + 8 + length :][:4])[0]
        chunks[name], at_ = body, at_ + 12 + length
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    pixels = zlib.decompress(chunks[b"IDAT"])
    assert len(pixels) == height * (1 + 4 * width)
    assert BAD in pixels, "one failure of a thousand is seen"

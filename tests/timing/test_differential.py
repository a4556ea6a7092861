"""The simulator and a dispatcher that looks at its clock each minute agree on everything."""

import zoneinfo
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from functools import cache
from itertools import cycle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_pipelines.model.cadence import (
    ClockChange,
    Cron,
    Daily,
    Doubled,
    Every,
    Hourly,
    Missing,
    parse_cadence,
)
from sync_pipelines.model.policy import parse_policies
from sync_pipelines.timing.decisions import Outcome, decide
from sync_pipelines.timing.firings import Timetable, next_firing
from sync_pipelines.timing.simulate import Simulated, simulate
from sync_pipelines.timing.zones import Shift, find_zone, shift_between, zone_names
from tests.timing import strategies
from tests.timing.strategies import timetable
from tests.timing.test_laws import near_changes

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
MARGIN = 3
FIRST, LAST = datetime(2025, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Seen:
    """One firing as it came out."""

    due_at: datetime
    outcome: Outcome
    started_at: datetime | None = None
    ended_at: datetime | None = None


def simulated(schedule: Simulated, after: datetime, until: datetime) -> list[Seen]:
    found = simulate([schedule], after=after, until=until)
    return [
        Seen(one.decision.due_at, one.decision.outcome, one.started_at, one.ended_at)
        for one in found
    ]


def dispatched(schedule: Simulated, after: datetime, until: datetime) -> list[Seen]:
    """What a dispatcher does that knows only its clock, its cursor and what runs.

    Of the minutes at which it looks, those are left out at which it would find nothing.
    """
    table, cursor = schedule.timetable, after
    now = began = after - table.policies.spread
    end = until + table.policies.spread + 2 * schedule.duration
    seen: list[Seen] = []
    running: int | None = None
    waiting: list[int] = []
    coming = next_firing(table, after=cursor)
    wakes_at = coming.at if coming else None
    while now < end:
        ends_at = seen[running].ended_at if running is not None else None
        awaited = min((at for at in (ends_at, wakes_at) if at is not None), default=end)
        now = max(now + MINUTE, began + -((began - awaited) // MINUTE) * MINUTE)
        while running is not None and seen[running].ended_at <= now:
            at, running = seen[running].ended_at, None
            if waiting:
                running = waiting.pop(0)
                seen[running] = replace(
                    seen[running], started_at=at, ended_at=at + schedule.duration
                )
        if wakes_at is None or wakes_at > now:
            continue
        for decision in decide(
            table, after=cursor, now=now, active=running is not None, waiting=bool(waiting)
        ):
            cursor = decision.due_at
            if cursor > until:
                break
            seen.append(Seen(decision.due_at, decision.outcome))
            if decision.outcome is Outcome.QUEUED:
                waiting.append(len(seen) - 1)
            elif decision.outcome.starts:
                if running is not None:
                    seen[running] = replace(seen[running], ended_at=now)
                running = len(seen) - 1
                seen[running] = replace(
                    seen[running], started_at=now, ended_at=now + schedule.duration
                )
        coming = next_firing(table, after=cursor) if cursor <= until else None
        wakes_at = coming.at if coming else None
    return seen


@cache
def shifts(zone: str) -> tuple[Shift, ...]:
    """The changes of a zone's clocks in three years, and a few days about them."""
    local, days = find_zone(zone), (LAST - FIRST).days + 2 * MARGIN
    moments = (FIRST + (number - MARGIN) * DAY for number in range(days))
    found = (shift_between(at, at + DAY, local) for at in moments)
    return tuple(shift for shift in found if shift is not None)


@cache
def kinds_of_zones() -> tuple[tuple[str, ...], ...]:
    """All zones, those together whose clocks show the same through all of that time."""
    kinds: defaultdict[object, list[str]] = defaultdict(list)
    for zone in sorted(zone_names()):
        kinds[FIRST.astimezone(find_zone(zone)).utcoffset(), shifts(zone)].append(zone)
    return tuple(tuple(zones) for zones in kinds.values())


CADENCES = (
    parse_cadence({"type": "daily", "at": ["00:00", "01:30", "02:00", "02:30", "03:00"]}),
    Cron(expression="*/20 0-3 * * *"),
    Cron(expression="*/15 * * * *"),
    Hourly(minute=30),
    Every(minutes=45),
    parse_cadence({"type": "weekly", "days": ["sat", "sun"], "at": ["01:59", "02:00", "23:59"]}),
)
POLICIES = tuple(
    parse_policies(written)
    for written in (
        {},
        {"overlap": "queue", "blackouts": [{"from": "02:15", "to": "02:45"}]},
        {"overlap": "cancel", "spread": "20m"},
        {"overlap": "queue", "spread": "45m", "blackouts": [{"days": "sun", "to": "01:30"}]},
        {"missed": "all", "overlap": "skip", "blackouts": [{"from": "23:00", "to": "02:00"}]},
    )
)
RULES = tuple(
    ClockChange(missing=missing, doubled=doubled) for missing in Missing for doubled in Doubled
)


def schedules() -> Iterator[tuple[int, Simulated]]:
    """Every cadence with every policy and every rule, over and over; the numbers go round apart."""
    kinds = zip(cycle(CADENCES), cycle(POLICIES), cycle((*RULES, RULES[0])), strict=False)
    for number, (cadence, policies, rules) in enumerate(kinds):
        table = timetable(cadence, "UTC", policies, number=number)
        yield (
            number,
            Simulated(
                timetable=replace(table, clock_change=rules),
                sync="acme/orders",
                duration=50 * MINUTE,
            ),
        )


def test_they_agree_in_every_zone_around_every_clock_change_of_three_years():
    """R12, R14: two nights about each change from 2025 to 2027, or about one ordinary midnight."""
    kinds = schedules()
    compared = 0

    for zone in sorted(zone_names()):
        for moment in [shift.at for shift in shifts(zone) if FIRST < shift.at < LAST] or [FIRST]:
            _, schedule = next(kinds)
            schedule = replace(schedule, timetable=replace(schedule.timetable, zone=zone))
            after, until = moment - timedelta(hours=18), moment + timedelta(hours=18)

            expected = dispatched(schedule, after, until)

            assert simulated(schedule, after, until) == expected, (zone, moment, schedule)
            compared += len(expected)
    assert compared > 20_000


@pytest.fixture
def only_the_pinned_zones() -> Iterator[None]:
    """As if the operating system knew no zones."""
    zoneinfo.reset_tzpath(to=())
    yield
    zoneinfo.reset_tzpath()


@pytest.mark.usefixtures("only_the_pinned_zones")
def test_every_zone_there_is_belongs_to_one_kind():
    members = [zone for kind in kinds_of_zones() for zone in kind]

    assert len(members) == len(set(members))
    assert set(members) == zoneinfo.available_timezones()


SPARSE = (
    (Daily(at=(time(0, 0),)), {"spread": "30m", "blackouts": [{"days": ["sat"]}]}),
    (Daily(at=(time(2, 30),)), {"overlap": "queue", "ends_at": "2027-12-24T18:00:00Z"}),
    (
        Cron(expression="30 1,23 * * 6,0"),
        {"overlap": "cancel", "blackouts": [{"from": "2025-12-24", "to": "2026-01-06"}]},
    ),
)
"""Cadences that are few enough for all days of three years, at times when clocks change."""


@pytest.mark.timeout(400)
def test_they_agree_on_all_of_three_years_in_every_zone():
    """R12, R14: every IANA zone from 2025 to 2027, each kind of clocks once."""
    compared = 0

    for number, (zone, *_) in enumerate(kinds_of_zones()):
        for cadence, written in SPARSE:
            rules = RULES[(number + compared) % len(RULES)]
            table = timetable(cadence, zone, parse_policies(written), number=number)
            schedule = Simulated(
                timetable=replace(table, clock_change=rules),
                sync="acme/orders",
                duration=50 * MINUTE,
            )

            expected = dispatched(schedule, FIRST, LAST)

            assert simulated(schedule, FIRST, LAST) == expected, (zone, schedule)
            compared += len(expected)
    assert compared > 2000 * len(kinds_of_zones())


@given(st.data(), near_changes(), st.integers(1, 300))
@settings(deadline=None, max_examples=100)
def test_they_agree_on_any_schedule(data: st.DataObject, near: tuple[str, datetime], minutes: int):
    zone, moment = near
    after = moment.replace(second=0, microsecond=0)
    schedule = Simulated(
        timetable=data.draw(strategies.timetables_about(zone, after)),
        sync="acme/orders",
        duration=minutes * MINUTE,
    )
    until = after + timedelta(days=3)

    found = simulated(schedule, after, until)

    assert found == dispatched(schedule, after, until)


def test_a_schedule_ends_for_both_at_once():
    ended = parse_policies({"ends_at": "2025-01-05T00:00:00Z"})
    table: Timetable = timetable(Daily(), "UTC", ended)
    schedule = Simulated(timetable=table, sync="acme/orders", duration=MINUTE)

    found = dispatched(schedule, FIRST, FIRST + timedelta(days=10))

    assert [one.due_at.day for one in found] == [1, 2, 3, 4]
    assert simulated(schedule, FIRST, FIRST + timedelta(days=10)) == found

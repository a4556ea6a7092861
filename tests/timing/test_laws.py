"""Laws of instants that hold for every cadence, zone, rule and moment."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from sync_pipelines.model.cadence import Cadence, ClockChange, Cron, Daily, Doubled, Missing
from sync_pipelines.timing.cron import simplest
from sync_pipelines.timing.instants import instants, next_instant
from sync_pipelines.timing.patterns import KeepGoing, WallTimes, pattern_of
from sync_pipelines.timing.zones import find_zone, shift_on, zone_names
from tests.timing import strategies

ANCHOR = datetime(2000, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)

laws = settings(deadline=None, max_examples=150)
spans = st.timedeltas(timedelta(0), timedelta(days=3))


def between(
    cadence: Cadence, zone: str, rules: ClockChange, after: datetime, until: datetime
) -> list[datetime]:
    return list(instants(cadence, zone, rules, after=after, until=until, anchor=ANCHOR))


@st.composite
def near_changes(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone and a moment near a change of its clocks: about an hour, or up to a day and a half."""
    zone = draw(strategies.zones)
    ahead = draw(
        st.one_of(st.timedeltas(-90 * MINUTE, 90 * MINUTE), st.timedeltas(-DAY, 1.5 * DAY))
    )
    day = draw(st.dates(date(1990, 1, 1), date(2030, 1, 1)))
    for number in range(366):
        shift = shift_on(day + number * DAY, find_zone(zone))
        if shift is not None:
            return zone, shift.at - ahead
    return zone, datetime(day.year, day.month, day.day, tzinfo=UTC)


@given(strategies.cadences, near_changes(), strategies.rules, spans)
@laws
def test_instants_are_utc_and_strictly_increase_within_their_bounds(
    cadence: Cadence, near: tuple[str, datetime], rules: ClockChange, span: timedelta
):
    zone, after = near

    found = between(cadence, zone, rules, after, after + span)

    assert all(earlier < later for earlier, later in pairwise([after, *found]))
    assert all(at <= after + span and at.tzinfo is UTC for at in found)


@given(strategies.cadences, near_changes(), strategies.rules, spans, spans)
@laws
def test_an_interval_in_two_parts_gives_what_the_whole_gives(
    cadence: Cadence,
    near: tuple[str, datetime],
    rules: ClockChange,
    first: timedelta,
    second: timedelta,
):
    """A dispatcher that stops and starts anywhere misses nothing and repeats nothing."""
    zone, after = near
    middle, until = after + first, after + first + second

    parts = between(cadence, zone, rules, after, middle)
    parts += between(cadence, zone, rules, middle, until)

    assert parts == between(cadence, zone, rules, after, until)


@given(strategies.cadences, near_changes(), strategies.rules)
@laws
def test_the_next_instant_is_the_first_of_those_that_follow(
    cadence: Cadence, near: tuple[str, datetime], rules: ClockChange
):
    zone, after = near
    until = after + timedelta(days=60)
    found = instants(cadence, zone, rules, after=after, until=until, anchor=ANCHOR)

    at, steps = after, []
    for _ in range(4):
        following = next_instant(cadence, zone, rules, after=at, anchor=ANCHOR)
        if following is None or following > until:
            break
        steps.append(following)
        at = following

    assert steps == list(islice(found, 4))


def test_a_daily_cadence_fires_once_on_every_day_of_every_zone_for_three_years():
    """R8, R14: at its default, 02:00, from 2025 to 2027."""
    first, last = date(2025, 1, 1), date(2027, 12, 31)
    after = datetime(2024, 12, 30, tzinfo=UTC)
    until = datetime(2028, 1, 2, tzinfo=UTC)
    expected = {first + number * DAY: 1 for number in range((last - first).days + 1)}

    for zone in sorted(zone_names()):
        local = find_zone(zone)
        found = between(Daily(), zone, ClockChange(), after, until)
        days = Counter(at.astimezone(local).date() for at in found)
        assert {day: days[day] for day in expected} == expected, zone


@given(strategies.walls, near_changes(), strategies.rules)
@laws
def test_wall_times_fire_when_a_minute_by_minute_look_at_the_clock_says_so(
    cadence: Cadence, near: tuple[str, datetime], rules: ClockChange
):
    zone, moment = near
    after = moment.replace(second=0, microsecond=0)

    expected = _seen_on_the_clock(cadence, find_zone(zone), rules, after)

    assert between(cadence, zone, rules, after, after + 3 * DAY) == sorted(expected)


def _seen_on_the_clock(
    cadence: Cadence, zone: ZoneInfo, rules: ClockChange, after: datetime
) -> set[datetime]:
    """Another way to find wall times: read the clock each minute of six days."""
    pattern = pattern_of(cadence)
    assert isinstance(pattern, WallTimes)
    minutes = (after + number * MINUTE for number in range(-2 * 1440, 4 * 1440))
    seen: dict[datetime, list[datetime]] = {}
    fired: set[datetime] = set()
    previous: datetime | None = None
    for at in minutes:
        wall = at.astimezone(zone).replace(tzinfo=None, fold=0)
        left_out = previous + MINUTE if previous else wall
        while left_out < wall and rules.missing is Missing.AFTER_GAP:
            if left_out.date() in pattern.days and left_out.time() in pattern.times:
                fired.add(at)
            left_out += MINUTE
        seen.setdefault(wall, []).append(at)
        previous = wall
    for wall, moments in seen.items():
        if wall.date() in pattern.days and wall.time() in pattern.times:
            fired.update(_chosen(moments, rules))
    return {at for at in fired if after < at <= after + 3 * DAY}


def _chosen(moments: list[datetime], rules: ClockChange) -> list[datetime]:
    match rules.doubled:
        case Doubled.FIRST:
            return moments[:1]
        case Doubled.SECOND:
            return moments[-1:]
        case Doubled.BOTH:
            return moments


@given(
    st.sets(st.integers(0, 59), min_size=1, max_size=5),
    st.sampled_from(["*", "mon-fri", "0,3", "sat"]),
    near_changes(),
    strategies.rules,
)
@laws
def test_what_keeps_going_fires_whenever_the_clock_shows_it(
    minutes: set[int], weekdays: str, near: tuple[str, datetime], rules: ClockChange
):
    """Except again within a repeated stretch shorter than its own spacing."""
    zone, moment = near
    after = moment.replace(second=0, microsecond=0)
    cadence = Cron(expression=f"{','.join(map(str, minutes))} * * * {weekdays}")
    pattern = pattern_of(cadence)
    assert isinstance(pattern, KeepGoing)

    expected = []
    for at in (after + number * MINUTE for number in range(1, 3 * 1440 + 1)):
        wall = at.astimezone(find_zone(zone))
        first = wall.replace(fold=0).astimezone(UTC)
        is_double = timedelta(0) < at - first < pattern.least_spacing
        if wall.minute in minutes and wall.date() in pattern.days and not is_double:
            expected.append(at)

    assert between(cadence, zone, rules, after, after + 3 * DAY) == expected


@given(strategies.walls, near_changes(), strategies.rules)
@laws
def test_a_cadence_and_its_cron_expression_fire_alike(
    cadence: Cadence, near: tuple[str, datetime], rules: ClockChange
):
    """R9, R20: what the table stores as cron means what the schedule says."""
    zone, after = near
    expression = cadence.cron_expression
    if expression is None:
        return

    as_cron = between(Cron(expression=expression), zone, rules, after, after + 9 * DAY)

    assert as_cron == between(cadence, zone, rules, after, after + 9 * DAY)


@given(strategies.crons, near_changes(), strategies.rules)
@laws
def test_a_cron_and_the_simplest_cadence_for_it_fire_alike(
    cron: Cron, near: tuple[str, datetime], rules: ClockChange
):
    zone, after = near

    simple = between(simplest(cron), zone, rules, after, after + 9 * DAY)

    assert simple == between(cron, zone, rules, after, after + 9 * DAY)

"""Load and overlaps, found by numbers, against the plain way to find them."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from sync_pipelines.model.cadence import Cron, Every
from sync_pipelines.model.policy import Policies
from sync_pipelines.timing import clashes
from sync_pipelines.timing.clashes import Kind, Planned, find_clashes, find_overload, typical
from sync_pipelines.timing.firings import Timetable, starts
from tests.timing import strategies

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def coming(each, after):
    found = starts(each.timetable, after=after, until=after + clashes.SPAN)
    return [firing.at for firing in islice(found, clashes.MOST_STARTS)]


def slow_overlaps(schedules, after):
    """How many starts there are, how many come too soon, and how soon; None where all is well."""
    usual = typical([duration for each in schedules for duration in each.durations])
    if usual is None:
        return None
    moments = sorted({start for each in schedules for start in coming(each, after)})
    short = [late - early for early, late in pairwise(moments) if late - early < usual]
    return (len(moments), len(short), min(short)) if short else None


def slow_load(planned, after):
    """How many run at the first moment when most do, whose they are, and that moment."""
    edges: list[tuple[datetime, bool, int]] = []
    for number, each in enumerate(planned):
        lasts = max(typical(each.durations) or MINUTE, MINUTE)
        for start in coming(each, after):
            edges += ((start, True, number), (start + lasts, False, number))
    running: list[int] = []
    worst: list[int] = []
    moment = after
    for at, is_start, number in sorted(edges):
        if not is_start:
            running.remove(number)
            continue
        running.append(number)
        if len(running) > len(worst):
            worst, moment = [*running], at
    return len(worst), tuple(dict.fromkeys(planned[number].id for number in worst)), moment


@st.composite
def plans(draw):
    """A moment, and a few schedules about it; of some, two fire alike."""
    moment = draw(strategies.moments)
    planned = []
    for number in range(draw(st.integers(1, 5))):
        timetable = Timetable(
            id=UUID(int=number),
            cadence=draw(strategies.cadences),
            zone=draw(strategies.zones),
            clock_change=draw(strategies.rules),
            policies=draw(st.just(Policies()) | strategies.policies_about(moment)),
            anchor=moment + timedelta(seconds=draw(st.integers(-90_000, 90_000))),
        )
        minutes = draw(st.integers(0, 200) | st.just(1))
        planned.append(
            Planned(
                timetable=timetable,
                sync=f"acme/s{draw(st.integers(0, 2))}",
                durations=(minutes * MINUTE + timedelta(seconds=draw(st.integers(0, 59))),) * 3,
            )
        )
    return moment, sorted(planned, key=lambda each: (each.sync, each.id))


@given(plans())
@settings(max_examples=60, deadline=None)
def test_what_clashes_is_what_the_plain_way_finds(drawn):
    """R34, R35."""
    after, planned = drawn
    number, schedules, moment = slow_load(planned, after)

    overload = find_overload(planned, after=after, most=0)
    found = find_clashes(planned, after=after)

    assert (overload is None) == (number == 0)
    if overload is not None:
        assert overload.schedules == schedules
        assert overload.message.startswith(
            f"{number} executions would run at once at {moment:%Y-%m-%d %H:%M} UTC"
        )
    for sync in {each.sync for each in planned}:
        own = [each for each in planned if each.sync == sync]
        messages = [
            one.message for one in found if one.kind is Kind.OVERLAP and sync in one.message
        ]
        slow = slow_overlaps(own, after)
        assert len(messages) == (slow is not None)
        if slow is not None:
            (message,) = messages
            assert f"so it is with {slow[1]} of the next {slow[0]}," in message


def minutely(number, cadence, anchor):
    return Planned(
        timetable=Timetable(id=UUID(int=number), cadence=cadence, zone="UTC", anchor=anchor),
        sync=f"acme/s{number}",
        durations=(61 * timedelta(seconds=1),) * 3,
    )


def test_a_thousand_schedules_that_fire_every_minute_are_looked_through():
    """R35: each half with starts of its own or the same, two million in all."""
    apart = [
        minutely(number, Every(minutes=1), NOW + number * timedelta(milliseconds=100))
        for number in range(500)
    ]
    alike = [minutely(number, Cron(expression="* * * * *"), NOW) for number in range(500, 1000)]

    found = find_clashes([*apart, *alike], after=NOW, most_at_once=999)

    assert {one.kind for one in found} == {Kind.OVERLAP, Kind.LIMIT}
    (overload,) = (one for one in found if one.kind is Kind.LIMIT)
    # A second long, of each minute, those that fire alike run twice: 12:02:00 is the first;
    # by then ten of the others have started again within the second before, or at it.
    assert overload.message.startswith("1510 executions would run at once at 2026-07-01 12:02 UTC")

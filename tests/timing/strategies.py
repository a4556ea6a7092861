"""Cadences, rules and moments, drawn at random."""

from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from sync_pipelines.model.blackout import Blackout, DateBlackout, WeeklyBlackout
from sync_pipelines.model.cadence import (
    Adaptive,
    After,
    Cadence,
    CadenceError,
    ClockChange,
    Condition,
    Cron,
    Daily,
    Doubled,
    Event,
    EventTrigger,
    Every,
    Hourly,
    Manual,
    Missing,
    Monthly,
    Realtime,
    Weekday,
    Weekly,
)
from sync_pipelines.model.condition import Operator
from sync_pipelines.model.policy import (
    Missed,
    MissedPolicy,
    Overlap,
    Pause,
    Policies,
    Priority,
)
from sync_pipelines.timing.firings import Timetable
from sync_pipelines.timing.zones import zone_names

times = st.builds(time, st.integers(0, 23), st.integers(0, 59))
at = st.lists(times, min_size=1, max_size=4).map(tuple)
rules = st.builds(ClockChange, missing=st.sampled_from(Missing), doubled=st.sampled_from(Doubled))
zones = st.sampled_from(sorted(zone_names()))
moments = st.datetimes(datetime(1985, 1, 1), datetime(2045, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@st.composite
def _fields(draw: st.DrawFn, least: int, most: int) -> str:
    number = st.integers(least, most).map(str)
    ends = st.tuples(st.integers(least, most), st.integers(least, most)).map(sorted)
    span = ends.map(lambda pair: f"{pair[0]}-{pair[1]}")
    step = st.tuples(st.one_of(st.just("*"), span), st.integers(1, most)).map(
        "{0[0]}/{0[1]}".format
    )
    term = st.one_of(number, span, step)
    several = st.lists(term, min_size=2, max_size=4).map(",".join)
    return draw(st.one_of(st.just("*"), term, several))


_dates = st.one_of(_fields(1, 28), st.sampled_from(["L", "LW", "1,L", "31", "29-31"]))
_days = st.one_of(_fields(0, 7), st.sampled_from(["5L", "1#2", "mon-fri", "SUN", "1,3#1"]))
_months = st.one_of(st.just("*"), st.sampled_from(["1-6", "mar,SEP", "*/3", "1,12"]))


def _cron(fields: tuple[str, ...]) -> Cron | None:
    try:
        return Cron(expression=" ".join(fields))
    except CadenceError:  # days that never come together, such as the 28th and 1#2
        return None


crons = (
    st.tuples(_fields(0, 59), _fields(0, 23), _dates, _months, _days)
    .map(_cron)
    .filter(lambda cron: cron is not None)
)


def _monthly(days: list[int], last: bool, at: tuple[time, ...]) -> Monthly:
    return Monthly(days=tuple(days), last=last or not days, at=at)


walls: st.SearchStrategy[Cadence] = st.one_of(
    st.builds(Daily, at=at),
    st.builds(Weekly, days=st.sets(st.sampled_from(Weekday), min_size=1).map(tuple), at=at),
    st.builds(_monthly, st.lists(st.integers(1, 31), max_size=3), st.booleans(), at),
)
scalars = st.one_of(
    st.text("abc 1.é", max_size=6),
    st.integers(-9, 9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
)
numbers = st.one_of(st.integers(-9, 9), st.floats(-9, 9), st.just("2026-01-31T08:00:00Z"))
_values = {
    Operator.EQUALS: scalars,
    Operator.NOT_EQUALS: scalars,
    Operator.IN: st.lists(scalars, min_size=1, max_size=3).map(tuple),
    Operator.GREATER: numbers,
    Operator.LESS: numbers,
    Operator.EXISTS: st.booleans(),
    Operator.MATCHES: st.text("ab*?[", min_size=1, max_size=6),
}
conditions = st.sampled_from(Operator).flatmap(
    lambda operator: st.builds(
        Condition,
        field=st.sampled_from(["status", "customer.country", "items.0.sku"]),
        operator=st.just(operator),
        value=_values[operator],
    )
)
events = st.builds(
    Event,
    trigger=st.sampled_from(EventTrigger),
    conditions=st.lists(conditions, max_size=3).map(tuple),
)
adaptives = st.tuples(st.integers(1, 3000), st.integers(1, 3000)).map(
    lambda pair: Adaptive(least=min(pair), most=max(pair) + 1)
)
cadences: st.SearchStrategy[Cadence] = st.one_of(
    walls,
    crons,
    st.builds(Every, minutes=st.integers(1, 3000)),
    st.builds(Hourly, minute=st.integers(0, 59)),
    adaptives,
    events,
    st.sampled_from(["orders", "acme/orders"]).map(lambda sync: After(sync=sync)),
    st.just(Realtime()),
    st.just(Manual()),
)

weekly_blackouts: st.SearchStrategy[Blackout] = st.builds(
    WeeklyBlackout,
    days=st.sets(st.sampled_from(Weekday), min_size=1).map(tuple),
    start=times,
    end=times,
)


@st.composite
def policies_about(draw: st.DrawFn, moment: datetime, *, spreads: bool = True) -> Policies:
    """Policies whose dates lie about a moment, so that they matter there."""
    near = st.integers(-5 * 1440, 15 * 1440).map(
        lambda minutes: moment.replace(second=0, microsecond=0) + timedelta(minutes=minutes)
    )
    days = st.tuples(near, near).map(sorted)
    dates = days.map(lambda pair: DateBlackout(first_on=pair[0].date(), last_on=pair[1].date()))
    first, last = draw(days)
    return Policies(
        overlap=draw(st.sampled_from(Overlap)),
        missed=Missed(
            policy=draw(st.sampled_from(MissedPolicy)),
            most=draw(st.integers(1, 70)),
            window=draw(st.none() | st.integers(5, 6000).map(lambda m: timedelta(minutes=m))),
        ),
        spread=timedelta(minutes=draw(st.integers(0, 90))) if spreads else timedelta(0),
        blackouts=tuple(draw(st.lists(st.one_of(weekly_blackouts, dates), max_size=2))),
        starts_at=draw(st.none() | st.just(first)),
        ends_at=draw(st.none() | st.just(last + timedelta(minutes=1))),
        pause=draw(st.none() | st.builds(Pause, reason=st.just("stocktaking"), until=near)),
        priority=draw(st.sampled_from(Priority)),
    )


def timetable(
    cadence: Cadence,
    zone: str = "UTC",
    policies: Policies | None = None,
    *,
    number: int = 1,
    **rules: Any,
) -> Timetable:
    """A schedule whose id is made of a number, anchored long ago."""
    return Timetable(
        id=UUID(int=number),
        cadence=cadence,
        zone=zone,
        clock_change=ClockChange(**rules),
        policies=policies or Policies(),
        anchor=datetime(2000, 1, 1, tzinfo=UTC),
    )


@st.composite
def timetables_about(draw: st.DrawFn, zone: str, moment: datetime) -> Timetable:
    """Schedules that a clock drives, dense or sparse, with policies that matter at a moment."""
    cadence = draw(
        st.one_of(walls, crons, adaptives, st.builds(Every, minutes=st.integers(1, 300)))
    )
    return Timetable(
        id=draw(st.uuids()),
        cadence=cadence,
        zone=zone,
        clock_change=draw(rules),
        policies=draw(policies_about(moment)),
        anchor=moment.replace(second=0, microsecond=0),
    )

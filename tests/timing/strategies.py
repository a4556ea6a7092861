"""Cadences, rules and moments, drawn at random."""

from datetime import UTC, datetime, time

from hypothesis import strategies as st

from sync_pipelines.model.cadence import (
    Cadence,
    CadenceError,
    ClockChange,
    Cron,
    Daily,
    Doubled,
    Every,
    Hourly,
    Manual,
    Missing,
    Monthly,
    Realtime,
    Weekday,
    Weekly,
)
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
cadences: st.SearchStrategy[Cadence] = st.one_of(
    walls,
    crons,
    st.builds(Every, minutes=st.integers(1, 3000)),
    st.builds(Hourly, minute=st.integers(0, 59)),
    st.just(Realtime()),
    st.just(Manual()),
)

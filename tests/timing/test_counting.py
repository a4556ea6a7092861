"""Counting instants gives what listing them would."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_pipelines.model.cadence import Cadence, ClockChange, Cron
from sync_pipelines.timing.counting import count, latest
from sync_pipelines.timing.instants import instants
from tests.timing import strategies
from tests.timing.test_laws import ANCHOR, near_changes

laws = settings(deadline=None, max_examples=150)
spans = st.timedeltas(timedelta(0), timedelta(days=9))


@given(strategies.cadences, near_changes(), strategies.rules, spans)
@laws
def test_the_count_is_the_number_of_instants(
    cadence: Cadence, near: tuple[str, datetime], rules: ClockChange, span: timedelta
):
    zone, after = near
    until = after + span
    listed = list(instants(cadence, zone, rules, after=after, until=until, anchor=ANCHOR))

    number = count(cadence, zone, rules, after=after, until=until, anchor=ANCHOR)

    assert number == len(listed)


@given(strategies.cadences, near_changes(), strategies.rules, spans, st.integers(1, 200))
@laws
def test_the_latest_are_the_last_of_the_instants(
    cadence: Cadence,
    near: tuple[str, datetime],
    rules: ClockChange,
    span: timedelta,
    most: int,
):
    zone, after = near
    until = after + span
    listed = tuple(instants(cadence, zone, rules, after=after, until=until, anchor=ANCHOR))

    found = latest(cadence, zone, rules, after=after, until=until, anchor=ANCHOR, most=most)

    assert found == listed[-most:]


@pytest.mark.timeout(10)
def test_the_minutes_of_ten_years_are_counted_without_being_listed():
    every_minute = Cron(expression="* * * * *")
    after, until = datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)

    number = count(
        every_minute, "Europe/Berlin", ClockChange(), after=after, until=until, anchor=after
    )

    assert number == (until - after) // timedelta(minutes=1)

"""Law 5: every firing that is due has one decision, and the decision has a reason."""

from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from sync_pipelines.model.policy import ON_TIME, MissedPolicy
from sync_pipelines.timing.bars import TICK, bar_at
from sync_pipelines.timing.decisions import Decision, Outcome, decide, decide_missed
from sync_pipelines.timing.firings import Timetable, firing_at
from sync_pipelines.timing.instants import instants
from tests.timing import strategies
from tests.timing.test_laws import near_changes

laws = settings(deadline=None, max_examples=200)
outages = st.one_of(
    st.timedeltas(timedelta(0), timedelta(hours=3)), st.timedeltas(timedelta(0), timedelta(days=9))
)


def expected(schedule: Timetable, after: datetime, now: datetime) -> list[datetime]:
    """What is due, one by one."""
    return list(
        instants(
            schedule.cadence,
            schedule.zone,
            schedule.clock_change,
            after=after,
            until=now - schedule.offset,
            anchor=schedule.anchor,
        )
    )


def one_by_one(
    schedule: Timetable, decisions: tuple[Decision, ...]
) -> list[tuple[datetime, Decision]]:
    """Each instant with the decision that stands for it."""
    return [
        (due_at, decision)
        for decision in decisions
        for due_at in expected(
            schedule, decision.first_due_at - TICK, decision.due_at + schedule.offset
        )
    ]


@given(st.data(), near_changes(), outages, st.booleans(), st.booleans())
@laws
def test_every_firing_that_is_due_has_exactly_one_decision(
    data: st.DataObject,
    near: tuple[str, datetime],
    outage: timedelta,
    active: bool,
    waiting: bool,
):
    zone, after = near
    schedule = data.draw(strategies.timetables_about(zone, after))
    now = after + outage

    found = decide(schedule, after=after, now=now, active=active, waiting=waiting)

    assert [due_at for due_at, _ in one_by_one(schedule, found)] == expected(schedule, after, now)
    assert sum(decision.count for decision in found) == len(expected(schedule, after, now))
    assert all(decision.reason for decision in found)


@given(st.data(), near_changes(), outages, st.booleans(), st.booleans())
@laws
def test_deciding_on_many_at_once_is_deciding_on_each(
    data: st.DataObject,
    near: tuple[str, datetime],
    outage: timedelta,
    active: bool,
    waiting: bool,
):
    zone, after = near
    schedule = data.draw(strategies.timetables_about(zone, after))
    now = after + outage
    each = [firing_at(schedule, due_at) for due_at in expected(schedule, after, now)]

    found = decide(schedule, after=after, now=now, active=active, waiting=waiting)
    reference = decide_missed(
        each, schedule.policies, zone=schedule.local, now=now, active=active, waiting=waiting
    )

    assert found == reference


@given(st.data(), near_changes(), st.lists(outages, min_size=2, max_size=5))
@laws
def test_nothing_is_decided_twice_or_left_out_wherever_the_time_is_cut(
    data: st.DataObject, near: tuple[str, datetime], outages: list[timedelta]
):
    """Nor when the spread or any other policy is edited between two turns."""
    zone, begun = near
    schedule = data.draw(strategies.timetables_about(zone, begun))
    after = now = begun
    decided: list[datetime] = []

    for outage in outages:
        now += outage
        found = decide(schedule, after=after, now=now, active=data.draw(st.booleans()))
        decided += [due_at for due_at, _ in one_by_one(schedule, found)]
        after = found[-1].due_at if found else after
        edited = data.draw(strategies.timetables_about(zone, begun))
        schedule = Timetable(
            id=schedule.id,
            cadence=schedule.cadence,
            zone=zone,
            clock_change=schedule.clock_change,
            policies=edited.policies,
            anchor=schedule.anchor,
        )

    every = expected(schedule, begun, after + schedule.offset)
    assert decided == every


@given(st.data(), near_changes(), outages)
@laws
def test_nothing_starts_while_it_is_barred(
    data: st.DataObject, near: tuple[str, datetime], outage: timedelta
):
    """Not when it was due, and not when it would be caught up."""
    zone, after = near
    schedule = data.draw(strategies.timetables_about(zone, after))
    now = after + outage

    found = decide(schedule, after=after, now=now, active=data.draw(st.booleans()))

    for decision in found:
        if decision.outcome.starts:
            assert decision.count == 1
            for moment in (decision.due_at + schedule.offset, now):
                assert bar_at(schedule.policies, schedule.local, moment) is None


@given(st.data(), near_changes(), outages)
@laws
def test_what_is_caught_up_is_within_the_window_and_no_more_than_asked_for(
    data: st.DataObject, near: tuple[str, datetime], outage: timedelta
):
    zone, after = near
    schedule = data.draw(strategies.timetables_about(zone, after))
    missed, now = schedule.policies.missed, after + outage

    found = decide(schedule, after=after, now=now, active=False)
    caught_up = [one for one in found if one.outcome is Outcome.CATCH_UP]
    on_time = [one for one in found if one.outcome is Outcome.RUN]

    most = {MissedPolicy.ONCE: 1, MissedPolicy.ALL: missed.most, MissedPolicy.SKIP: 0}
    assert len(caught_up) <= most[missed.policy]
    assert len(on_time) <= 1
    for decision in caught_up:
        assert missed.window is None or now - decision.due_at - schedule.offset <= missed.window
    for decision in on_time:
        assert now - decision.due_at - schedule.offset <= ON_TIME

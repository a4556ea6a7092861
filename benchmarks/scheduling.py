"""The scheduling engine's cases: a dispatcher's turn, its lateness, tenants beside a flood."""

from functools import partial

from benchmarks.case import Budget, Case, Contender, Size
from benchmarks.place import Place
from benchmarks.processes import child
from benchmarks.task import Task, Work


def turn(place: Place, size: Size) -> Case:
    """A dispatcher's turn, with a tenth of all schedules due in the same minute.

    An execution is late by at most as long as its turn takes.
    """
    due = max(size.rows // 1000, 2)
    return Case(
        name="turn",
        title=f"A dispatcher's turn, {due:,} schedules due of {due * 10:,} over 100 tenants",
        rows=due,
        contenders=[
            Contender(
                name="claim_due",
                run=partial(child, _scheduling(place, Work.TURN, due=due, times=10)),
                prepare=nothing,
                budget=Budget(cpu=1000, slowest=5000),
            )
        ],
        before_round=nothing,
        check=nothing,
    )


def crowd(place: Place, size: Size) -> Case:
    """How long 99 quiet tenants wait, alone and beside one that floods; seconds are played."""
    flood = max(size.rows // 100, 10)
    return Case(
        name="crowd",
        title="The p99 of 99 quiet tenants' waits, in played time",
        rows=0,
        contenders=[
            Contender(
                name=name,
                run=partial(child, _scheduling(place, Work.CROWD, due=due)),
                prepare=nothing,
                budget=budget,
            )
            for name, due, budget in (
                ("alone", 0, Budget()),
                (f"beside one with {flood:,} waiting", flood, Budget(ratio=1.5)),
            )
        ],
        before_round=nothing,
        check=nothing,
        rounds=1,
    )


def late(place: Place, size: Size) -> Case:
    """How late executions are claimed where Dagster's daemon keeps the time."""
    due = max(size.rows // 1000, 2)
    task = Task(
        work=Work.LATENESS,
        source="",
        destination=str(place.scratch / "late"),
        catalog=place.catalog,
        due=due,
    )
    return Case(
        name="lateness",
        title=f"From due to claimed by Dagster's daemon, {due:,} of {due * 10:,} schedules",
        rows=0,
        contenders=[
            Contender(
                name="due_database_syncs",
                run=partial(child, task),
                prepare=nothing,
                budget=Budget(slowest=5000),
            )
        ],
        before_round=nothing,
        check=nothing,
        rounds=1,
    )


def _scheduling(place: Place, work: Work, *, due: int, times: int = 1) -> Task:
    return Task(
        work=work, source="", destination="", catalog=place.catalog, due=due, times=times
    )  # fmt: skip


def nothing() -> None:
    """Nothing to prepare, and nothing to compare."""

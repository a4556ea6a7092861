"""The API's case: how long lists, one schedule, its history, a dashboard and
reports take to be told.
"""

from functools import partial

from benchmarks.case import Budget, Case, Contender, Limit, Size
from benchmarks.place import Place
from benchmarks.processes import child
from benchmarks.scheduling import nothing
from benchmarks.task import Task, Work

ASKED = (
    "schedules",
    "schedule",
    "history",
    "executions",
    "failed",
    "dashboard",
    "report",
    "long report",
)
"""What is asked, see `benchmarks.asking`."""

P95_MS = 50.0


def answers(place: Place, size: Size) -> Case:
    """A gateway on loopback, its catalog full; half of everything is one tenant's, and
    another has as many executions as all of them.
    """
    schedules = max(size.rows // 100, 200)
    task = Task(
        work=Work.ASK,
        source="",
        destination="",
        catalog=place.catalog,
        due=schedules,
        times=60,
    )
    limits = {f"{name} p95 ms": Limit(at_most=P95_MS) for name in ASKED}
    return Case(
        name="answers",
        title=f"The API's answers, {schedules:,} schedules and {schedules * 200:,} executions",
        rows=0,
        contenders=[
            Contender(
                name="gateway",
                run=partial(child, task),
                prepare=nothing,
                budget=Budget(figures=limits),
            )
        ],
        before_round=nothing,
        check=nothing,
        rounds=1,
    )

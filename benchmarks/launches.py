"""Cases of whole runs, beside Dagster as it comes; and a minute in which everything is due."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from benchmarks.case import Budget, Case, Contender, Limit, Size
from benchmarks.place import Place
from benchmarks.processes import child
from benchmarks.scheduling import nothing
from benchmarks.task import Task, Work

STOCK = "stock Dagster"
WARM = "ours"
PACE = 1_000


def runs(place: Place, size: Size) -> Case:
    """A run that does nothing. Stock Dagster does a few only: each takes it seconds."""
    is_full = size.rows >= 100_000
    task = _task(place, Work.RUNS, "runs")
    return _case(
        "runs",
        "Dagster runs that do nothing",
        stock=replace(task, stock=True, times=4 if is_full else 2, due=8 if is_full else 2),
        ours=replace(task, times=40 if is_full else 2, due=80 if is_full else 4),
        limits={
            "launch to finish, median s": Limit(at_most=0.3),
            "runs a minute, 4 at once": Limit(at_least=390),
        },
    )


def queue(place: Place, size: Size) -> Case:
    """One tick that asks for many runs, until all are in the queue."""
    due = max(size.rows // 1000, 4)
    few = max(due // 10, 2)
    task = _task(place, Work.QUEUE, "queue")
    return _case(
        "queue",
        f"One tick puts runs into the queue: {few:,} by stock Dagster, {due:,} by ours",
        stock=replace(task, stock=True, due=few),
        ours=replace(task, due=due),
        limits={"1,000 runs queued, s": Limit(at_most=25)},
    )


def rush(place: Place, size: Size) -> Case:
    """Syncs that find nothing new, all due in one minute: the whole product, as shipped."""
    due = max(size.rows // 1000, 4)
    few = max(due // 10, 2)
    task = _task(place, Work.RUSH, "rush")
    return _case(
        "rush",
        f"Syncs with nothing new, due in one minute: {few:,} by stock Dagster, {due:,} by ours",
        stock=replace(task, stock=True, due=few),
        ours=replace(task, due=due),
        limits={"until the last has finished, s": Limit(at_most=180)},
    )


def webhooks(place: Place, size: Size) -> Case:
    """A webhook until its row is committed at the destination: the whole product, as shipped."""
    times = 200 if size.rows >= 100_000 else 10
    contenders = [
        _contender(
            name,
            replace(_task(place, Work.WEBHOOKS, f"webhooks-{due}"), times=times, due=due),
            Budget(figures=limits),
        )
        for name, due, limits in (
            ("idle", 0, {"posted to committed, p95 s": Limit(at_most=1.5)}),
            ("beside 20 syncs", 20, {}),
        )
    ]
    return Case(
        name="webhooks",
        title=f"From a webhook to its row at the destination, {times} one after the other",
        rows=0,
        contenders=contenders,
        before_round=nothing,
        check=nothing,
        rounds=1,
    )


def flood(place: Place, size: Size) -> Case:
    """Ten seconds of webhooks, at the pace that is promised and as fast as they are taken."""
    times = 10_000 if size.rows >= 100_000 else 200
    contenders = [
        _contender(
            name,
            replace(
                _task(place, Work.FLOOD, f"flood-{pace}-{gateways}"),
                times=times,
                due=pace,
                gateways=gateways,
            ),
            Budget(figures=limits),
        )
        for name, pace, gateways, limits in (
            ("1,000 a second", PACE, 1, {"refused": Limit(at_most=0)}),
            ("all it takes", 0, 1, {"accepted a second": Limit(at_least=PACE)}),
            ("all that two take", 0, 2, {}),
        )
    ]
    return Case(
        name="flood",
        title=f"A flood of {times:,} webhooks, each stored before it is answered",
        rows=0,
        contenders=contenders,
        before_round=nothing,
        check=nothing,
        rounds=1,
    )


def _task(place: Place, work: Work, name: str) -> Task:
    return Task(
        work=work,
        source=place.source,
        target=place.target,
        catalog=place.catalog,
        destination=str(place.scratch / name),
    )


def _case(name: str, title: str, *, stock: Task, ours: Task, limits: Mapping[str, Limit]) -> Case:
    """One round: it has many repetitions, and its homes are made once."""
    apart = replace(stock, destination=f"{stock.destination}-stock")
    return Case(
        name=name,
        title=title,
        rows=0,
        contenders=[
            _contender(STOCK, apart, Budget()),
            _contender(WARM, ours, Budget(figures=limits)),
        ],
        before_round=nothing,
        check=nothing,
        rounds=1,
    )


def _contender(name: str, task: Task, budget: Budget) -> Contender:
    return Contender(name=name, run=partial(child, task), prepare=nothing, budget=budget)

"""What is compared with what, and the budgets.

Each case is a function of a place and a size that gives a `Case`: who takes part, how a
turn is prepared, and how it is known that the data arrived whole.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import duckdb
import psycopg

from benchmarks import api, launches, orders, scheduling
from benchmarks.case import Budget, Case, Contender, Size, WrongDataError
from benchmarks.deliveries import deliveries
from benchmarks.files import files
from benchmarks.pages import pages
from benchmarks.place import Place
from benchmarks.processes import child, pipeline
from benchmarks.task import Measure, Task, Work

PEER = "psql"


def full(place: Place, size: Size) -> Case:
    """The whole table into a new one."""
    psql = (
        [place.psql, "-X", place.source, "-c", "COPY orders TO STDOUT (FORMAT binary)"],
        [place.psql, "-X", place.target, "-c", "COPY psql.orders FROM STDIN (FORMAT binary)"],
    )
    ours = {
        "pgcopy": (_task(place, "pgcopy"), Budget(ratio=1.05)),
        "arrow": (_task(place, "arrow", arrow=True), Budget(ratio=1.2)),
        "pgcopy first incremental": (_task(place, "first_pgcopy", incremental=True), Budget()),
        "arrow first incremental": (
            _task(place, "first_arrow", incremental=True, arrow=True),
            Budget(),
        ),
    }
    contenders = [
        Contender(
            name=PEER,
            run=partial(pipeline, *psql),
            prepare=partial(_fresh, place, PEER, made=True),
        ),
        *(
            Contender(
                name=name,
                run=partial(child, task),
                prepare=partial(_fresh, place, task.dataset, made=False),
                budget=budget,
            )
            for name, (task, budget) in ours.items()
        ),
    ]
    return Case(
        name="full",
        title="Full copy, PostgreSQL to PostgreSQL",
        rows=size.rows,
        contenders=contenders,
        before_round=_nothing,
        check=partial(_compare, place, [PEER, *(task.dataset for task, _ in ours.values())]),
    )


def upsert(place: Place, size: Size) -> Case:
    """What has changed, four fifths updated and one fifth new, into a table that has the rest."""
    ours = {
        "pgcopy": _task(place, "pgcopy", incremental=True),
        "arrow": _task(place, "arrow", incremental=True, arrow=True),
    }
    for task in ours.values():
        orders.drop(place.target, task.dataset)
        child(task)
    orders.drop(place.target, PEER)
    orders.create_empty(place.target, PEER)
    _run_psql(place, "COPY orders", "COPY psql.orders")
    marks: list[str] = []
    return Case(
        name="upsert",
        title="Incremental upsert, PostgreSQL to PostgreSQL",
        rows=size.changed,
        contenders=[
            Contender(
                name=PEER,
                run=partial(_upsert_by_psql, place, marks),
                prepare=partial(orders.checkpoint, place.target),
            ),
            *(
                Contender(
                    name=name,
                    run=partial(child, task),
                    prepare=partial(orders.checkpoint, place.target),
                    budget=Budget(ratio=1.2),
                )
                for name, task in ours.items()
            ),
        ],
        before_round=partial(_change, place, size, marks),
        check=partial(_compare, place, [PEER, *(task.dataset for task in ours.values())]),
    )


def nothing(place: Place, size: Size) -> Case:
    """A sync that finds nothing new, in a process that has done it before."""
    first = _task(place, "nothing", incremental=True)
    orders.drop(place.target, "nothing")
    child(first)
    times = 50 if size.rows >= 10_000 else 3
    budget = Budget(milliseconds=20.0)

    def repeated(work: Work, *, arrow: bool) -> Callable[[], Measure]:
        task = Task(
            work=work,
            source=place.source,
            destination=place.target,
            catalog=place.catalog,
            dataset="nothing",
            incremental=True,
            arrow=arrow,
            times=times,
        )
        return partial(child, task)

    works = {
        "whole execution": repeated(Work.EXECUTION, arrow=False),
        "connectors, pgcopy": repeated(Work.PASS, arrow=False),
        "connectors, arrow": repeated(Work.PASS, arrow=True),
    }
    return Case(
        name="nothing",
        title="Nothing changed, in a warm process",
        rows=0,
        contenders=[
            Contender(name=name, run=run, prepare=_nothing, budget=budget)
            for name, run in works.items()
        ],
        before_round=_nothing,
        check=partial(_compare, place, ["nothing"]),
    )


def to_duckdb(place: Place, size: Size) -> Case:
    """The whole table into a new DuckDB file."""
    tasks = {
        "psql csv": (Work.PSQL_TO_DUCKDB, "main", Budget()),
        "arrow": (Work.COPY, "arrow", Budget(ratio=0.8)),
    }
    contenders = []
    for name, (work, dataset, budget) in tasks.items():
        path = place.scratch / f"of_{dataset}.duckdb"
        task = Task(
            work=work,
            source=place.source,
            destination=f"duckdb:///{path}",
            dataset=dataset,
            psql=place.psql,
        )
        contenders.append(
            Contender(
                name=name,
                run=partial(child, task),
                prepare=partial(_remove, path),
                budget=budget,
            )
        )
    return Case(
        name="duckdb",
        title="Full copy, PostgreSQL to DuckDB",
        rows=size.rows,
        contenders=contenders,
        before_round=_nothing,
        check=partial(_compare_duckdb, place),
    )


def memory(place: Place, size: Size) -> Case:
    """What one copying process holds, for a tenth of the table, all of it, and five times it."""
    amounts = [size.rows // 10, size.rows]
    if size.large:
        amounts.append(size.rows * 5)
        orders.extend(place.source, size.rows * 5)
    budgets = {False: Budget(own_mb=60), True: Budget(own_mb=250)}
    contenders = []
    for arrow, budget in budgets.items():
        for amount in amounts:
            task = _task(place, "memory", arrow=arrow, row_filter=f"{orders.KEY} <= {amount}")
            contenders.append(
                Contender(
                    name=f"{'arrow' if arrow else 'pgcopy'}, {amount:,} rows",
                    run=partial(child, task, watch_memory=True),
                    prepare=partial(_fresh, place, "memory", made=False),
                    budget=budget,
                )
            )
    return Case(
        name="memory",
        title="Memory of a full copy, PostgreSQL to PostgreSQL",
        rows=0,
        contenders=contenders,
        before_round=_nothing,
        check=_nothing,
        rounds=1,
    )


CASES: Mapping[str, Callable[[Place, Size], Case]] = {
    "full": full,
    "upsert": upsert,
    "nothing": nothing,
    "duckdb": to_duckdb,
    "files": files,
    "memory": memory,  # may leave a larger table
    "turn": scheduling.turn,
    "crowd": scheduling.crowd,
    "lateness": scheduling.late,
    "runs": launches.runs,
    "queue": launches.queue,
    "rush": launches.rush,
    "webhooks": launches.webhooks,
    "flood": launches.flood,
    "pages": pages,
    "answers": api.answers,
    "deliveries": deliveries,
}


def _nothing() -> None:
    """Nothing to prepare."""


def _task(
    place: Place,
    dataset: str,
    *,
    incremental: bool = False,
    arrow: bool = False,
    row_filter: str | None = None,
) -> Task:
    return Task(
        work=Work.COPY,
        source=place.source,
        destination=place.target,
        dataset=dataset,
        incremental=incremental,
        arrow=arrow,
        row_filter=row_filter,
    )


def _fresh(place: Place, schema: str, *, made: bool) -> None:
    """No table yet; for psql, which makes none, an empty one."""
    orders.drop(place.target, schema)
    if made:
        orders.create_empty(place.target, schema)
    orders.checkpoint(place.target)


def _change(place: Place, size: Size, marks: list[str]) -> None:
    """Change the source; ``marks`` says where all copies stood before.

    Asked of the source, by its index: a look at a copy would bring it into memory, and
    its turn would be measured warm.
    """
    marks[:] = [orders.watermark(place.source, "public")]
    orders.change(place.source, size.changed)


def _run_psql(place: Place, out: str, into: str, *more: str) -> Measure:
    read = [place.psql, "-X", place.source, "-c", f"{out} TO STDOUT (FORMAT binary)"]
    write = [place.psql, "-X", "--single-transaction", place.target]
    statements = (*more[:1], f"{into} FROM STDIN (FORMAT binary)", *more[1:])
    return pipeline(read, [*write, *(part for one in statements for part in ("-c", one))])


def _upsert_by_psql(place: Place, marks: Sequence[str]) -> Measure:
    (mark,) = marks
    return _run_psql(
        place,
        f"COPY (SELECT * FROM orders WHERE {orders.CURSOR} >= '{mark}')",
        "COPY staged",
        f"CREATE TEMPORARY TABLE staged (LIKE {PEER}.orders) ON COMMIT DROP",
        orders.upsert(PEER),
    )


def _compare(place: Place, schemas: Sequence[str]) -> None:
    wanted = orders.fingerprint(place.source, "public")
    for schema in schemas:
        found = orders.fingerprint(place.target, schema)
        if found != wanted:
            raise WrongDataError(f"{schema} has {found}, its source {wanted}")


_SUMS = """
SELECT count(*), sum(id), sum(quantity), CAST(sum(total) AS VARCHAR), count(note),
       sum(length(note)), sum(length(CAST(meta AS VARCHAR))),
       CAST(max(created_at) AS VARCHAR), CAST(max(updated_at) AS VARCHAR)
  FROM {}.orders
"""


def _compare_duckdb(place: Place) -> None:
    with psycopg.connect(place.source) as source:
        source.execute("SET TimeZone = 'UTC'")
        wanted = source.execute(_SUMS.format("public").encode()).fetchone()
    for schema in ("main", "arrow"):
        with duckdb.connect(str(place.scratch / f"of_{schema}.duckdb")) as copy:
            copy.execute("SET TimeZone = 'UTC'")
            found = copy.execute(_SUMS.format(schema)).fetchone()
        if found != wanted:
            raise WrongDataError(f"of_{schema}.duckdb has {found}, its source {wanted}")


def _remove(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()

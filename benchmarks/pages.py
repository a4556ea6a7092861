"""Pages of JSON from a loopback server into PostgreSQL and DuckDB.

The server runs in a process of its own, which ends when the one that started it does.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from time import sleep
from typing import Any

import duckdb
import psycopg

from benchmarks import orders
from benchmarks.case import Budget, Case, Contender, Size, WrongDataError
from benchmarks.paging import AT_ONCE, PAGE
from benchmarks.place import Place
from benchmarks.processes import child
from benchmarks.task import Measure, Task, Work
from connectors.testing.fake_api import FakeApi, Reply, Request

DELAYS = (0, 50)
RECORDS = 100_000
"""Of a whole benchmark; a smaller one takes as many as it has rows."""


def record(number: int) -> Mapping[str, Any]:
    """A record that follows from its number."""
    at = f"2026-03-{1 + number % 28:02}T{number % 24:02}:{number % 60:02}:07.000001Z"
    return {
        "id": number,
        "customer_id": number * 7919 % 50_000,
        "quantity": 1 + number % 9,
        "status": ("new", "paid", "packed", "shipped")[number % 4],
        "currency": ("EUR", "USD", "CAD")[number % 3],
        "total": f"{number * 104_729 % 10_000_000 / 100:.2f}",
        "note": None if number % 3 == 0 else f"note {number} " * 3,
        "meta": {"channel": "web", "items": 1 + number % 9, "gift": number % 11 == 0},
        "created_at": at,
        "updated_at": at,
    }


def pages(place: Place, size: Size) -> Case:
    """As many records as a shop has, without delay and with 50 ms for each page."""
    rows = min(size.rows, RECORDS)
    contenders = []
    servers = {delay: _started(rows, delay) for delay in DELAYS}
    for delay, url in servers.items():
        targets = {"PostgreSQL": place.target, "DuckDB": f"duckdb:///{place.scratch}/shop.duckdb"}
        for name, target in targets.items():
            task = Task(work=Work.PAGES, source=url, destination=target, dataset="pages")
            contenders.append(
                Contender(
                    name=f"{name}, {delay} ms",
                    run=partial(_run, task, rows),
                    prepare=partial(_fresh, place, target),
                    budget=Budget(milliseconds=2500.0, own_mb=80)
                    if name == "PostgreSQL"
                    else Budget(milliseconds=2500.0),
                )
            )
    return Case(
        name="pages",
        title=f"{rows:,} records in pages of {PAGE}, {AT_ONCE} at a time",
        rows=rows,
        contenders=contenders,
        before_round=lambda: None,
        check=partial(_compare, place, rows),
    )


def _run(task: Task, rows: int) -> Measure:
    measure = child(task, watch_memory=True)
    if measure.processed != rows:
        raise WrongDataError(f"{measure.processed} records arrived of {rows}")
    return measure


def _fresh(place: Place, target: str) -> None:
    if target == place.target:
        orders.drop(place.target, "pages")
        orders.checkpoint(place.target)
        return
    for file in place.scratch.glob("shop.duckdb*"):
        file.unlink()


_SUMS = "SELECT count(*), sum(id), sum(quantity), sum(total), count(note) FROM pages.orders"


def _compare(place: Place, rows: int) -> None:
    whole = [record(number) for number in range(1, rows + 1)]
    wanted = [
        rows,
        sum(one["id"] for one in whole),
        sum(one["quantity"] for one in whole),
        round(sum(round(float(one["total"]) * 100) for one in whole)) / 100,
        sum(one["note"] is not None for one in whole),
    ]
    with psycopg.connect(place.target) as postgres:
        in_postgres = postgres.execute(_SUMS.encode()).fetchone()
    with duckdb.connect(f"{place.scratch}/shop.duckdb") as copy:
        in_duckdb = copy.execute(
            _SUMS.replace("sum(total)", "sum(total::DECIMAL(18,2))")
        ).fetchone()
    for found in (in_postgres, in_duckdb):
        if found is None or [float(one) for one in found] != [float(one) for one in wanted]:
            raise WrongDataError(f"the copy has {found}, its source {wanted}")


# The server


def _started(rows: int, delay: int) -> str:
    """Start a server; it ends when this process does, by the end of its standard input."""
    command = [sys.executable, "-m", "benchmarks.pages", str(rows), str(delay)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    _SERVERS.append(server)
    return server.stdout.readline().strip()


_SERVERS: list["subprocess.Popen[str]"] = []
"""Kept, so that their standard input stays open as long as this process lives."""


def main(rows: int, delay: int) -> None:
    """Serve the pages, encoded beforehand, until standard input ends."""
    made = []
    for start in range(1, rows + 1, PAGE):
        numbers = range(start, min(start + PAGE, rows + 1))
        body = {"data": [record(number) for number in numbers], "total": rows}
        made.append(json.dumps(body).encode())

    def page(request: Request) -> Reply:
        sleep(delay / 1000)
        return Reply(body=made[int(request.params.get("page", "1")) - 1])

    with FakeApi() as api:
        api.route("GET", "/orders", page)
        sys.stdout.write(f"{api.url}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

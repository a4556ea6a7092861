"""The daemon is killed and kept down: no instant is lost, nothing runs twice.

``SYNC_OUTAGE_MINUTES`` says how long the first outage lasts; ten, if it is not set.
"""

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sync_pipelines.catalog.store import open_catalog
from sync_pipelines.clock import system_clock
from sync_pipelines.runtime.session import secret_box
from sync_pipelines.runtime.waiting import wait_until
from sync_pipelines.runtime.watching import Watching
from sync_pipelines.settings import Settings
from tests.e2e.services import Services
from tests.world import FakeClock, World

MINUTE = timedelta(minutes=1)
OUTAGE = int(os.environ.get("SYNC_OUTAGE_MINUTES", "10")) * MINUTE
NUMBER = 200
TENANTS = 10

pytestmark = [
    pytest.mark.long,
    pytest.mark.processes,
    pytest.mark.timeout(420 + OUTAGE.total_seconds()),
]

Make = Callable[..., Services]


@pytest.fixture
def make(empty_postgres_url: str) -> Iterator[Make]:
    with tempfile.TemporaryDirectory(prefix="sync-e2e-") as directory:
        made: list[Services] = []

        def make(most_runs: int = 15) -> Services:
            services = Services(Path(directory), empty_postgres_url, most_runs)
            made.append(services)
            services.prepare()
            return services

        yield make
        for services in made:
            services.stop()


def until(at: datetime) -> None:
    time.sleep(max(0.0, (at - datetime.now(UTC)).total_seconds()))


def next_minute(now: datetime) -> datetime:
    return now.replace(second=0, microsecond=0) + MINUTE


def manifest(home: Path) -> str:
    lines = ["tenant: acme", "connections:"]
    policies = ("once", "all", "skip")
    for name in ("shop", *policies):
        url = f"sqlite:///{home}/{name}.db"
        lines.append(f'  {name}: {{connector: database, config: {{url: "{url}"}}}}')
    lines.append("syncs:")
    for name in policies:
        most = ", most: 100" if name == "all" else ""
        lines += [
            f"  {name}:",
            f"    {{source: shop, destination: {name}, dataset: main, streams: [orders],",
            "     schedules: {often: {type: every, minutes: 1,",
            f"       missed: {{policy: {name}{most}}}}}}}}}",
        ]
    return "\n".join(lines) + "\n"


def fill_shop(home: Path) -> None:
    with closing(sqlite3.connect(home / "shop.db")) as shop:
        shop.executescript(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY); INSERT INTO orders VALUES (1), (2);"
        )


DECISIONS = """
    SELECT s.name, d.due_at, d.first_due_at, d.count, d.outcome, d.cause, d.into, e.status,
           e.attempt
    FROM sync.sync_decisions d
    JOIN sync.syncs s ON s.id = d.sync_id
    LEFT JOIN sync.sync_executions e ON e.id = d.execution_id
    ORDER BY s.name, d.due_at
"""
RUNS_TWICE = """
    SELECT t.value, count(*) FROM dagster.run_tags t
    WHERE t.key = 'sync_pipelines/execution' GROUP BY t.value HAVING count(*) <> 1
"""


def by_instant(services: Services) -> dict[str, dict[datetime, tuple[str, str | None]]]:
    """What was decided on each instant of each sync; one that stands for many is spread out."""
    found: dict[str, dict[datetime, tuple[str, str | None]]] = {}
    for name, due_at, first, count, outcome, cause, *_ in services.sql(DECISIONS):
        instants = found.setdefault(name, {})
        assert due_at - first == (count - 1) * MINUTE
        for at in (first + number * MINUTE for number in range(count)):
            assert at not in instants, f"{name} has two decisions on {at}"
            instants[at] = (outcome, cause)
    return found


def test_after_an_outage_every_instant_is_decided_on_as_its_policy_says(make: Make):
    """R92, T14: once, all and skip side by side; and the watch outside tells of it."""
    services = make()
    fill_shop(services.home)
    (services.home / "syncs.yaml").write_text(manifest(services.home))
    services.cli("apply", "-f", str(services.home / "syncs.yaml"))
    settings = Settings(home=services.home)
    said: list[str] = []
    box = secret_box(settings)
    watching = Watching(
        lambda: open_catalog(services.database_url, box), said.append, every_seconds=5
    )
    services.start_code()
    with watching:
        services.start_daemon()
        assert wait_until(lambda: len(by_instant(services)) == 3, seconds=150), services.log(
            "daemon"
        )
        until(next_minute(system_clock()) + timedelta(seconds=30))
        killed_at = system_clock()
        services.kill_daemon()
        until(killed_at + OUTAGE)
        back_at = system_clock()
        services.start_daemon()
        first, last = next_minute(killed_at), next_minute(back_at) - MINUTE
        outage = [first + number * MINUTE for number in range((last - first) // MINUTE + 1)]
        # The minute in which it comes back may end before its first turn.
        settled = next_minute(back_at) + MINUTE
        decided = wait_until(
            lambda: all(settled in each for each in by_instant(services).values()), seconds=200
        )
        told = wait_until(lambda: any("over: dead_daemon" in line for line in said), seconds=60)
        ended = wait_until(lambda: caught_up(services, last), seconds=200)
    assert decided, services.log("daemon")
    assert ended, services.sql(DECISIONS)
    found = by_instant(services)
    report(found, killed_at, back_at, said)

    missed = outage[:-1]
    for instants in found.values():
        span = (max(instants) - min(instants)) // MINUTE + 1
        assert len(instants) == span, "an instant has no decision"
    assert {found["skip"][at] for at in missed} == {("skipped", "missed")}
    assert {found["once"][at][0] for at in missed} == {"collapsed"}
    assert {found["all"][at][0] for at in missed} == {"catch_up"}
    assert {found[name][outage[-1]] for name in found} == {("run", None)}
    assert services.sql(RUNS_TWICE) == []
    assert told, said
    assert any(line.startswith("ALARM dead_daemon") for line in said)


def caught_up(services: Services, last: datetime) -> bool:
    """Whether all that was started for instants up to that one has ended well."""
    rows = [row for row in services.sql(DECISIONS) if row[1] <= last and row[7] is not None]
    return all((status, attempt) == ("completed", 1) for *_, status, attempt in rows)


def report(found, killed_at, back_at, said) -> None:
    """A table for whoever runs it by hand (`pytest -s`)."""
    print(f"\ndaemon killed {killed_at:%H:%M:%S}, started again {back_at:%H:%M:%S}")
    print("instant   " + "".join(f"{name:<24}" for name in found))
    for at in sorted(set().union(*found.values())):
        cells = [" ".join(filter(None, found[name].get(at, ("-", None)))) for name in found]
        print(f"{at:%H:%M:%S}  " + "".join(f"{cell:<24}" for cell in cells))
    print("\n".join(said))


@pytest.mark.parametrize("back", ["in the same minute", "in a later minute"])
def test_a_daemon_killed_half_way_through_its_hand_over_makes_exactly_the_runs(make: Make, back):
    """200 schedules are due at once; each gets one run, and none is without."""
    services = make(most_runs=0)
    settings = Settings(home=services.home)
    catalog = open_catalog(services.database_url, secret_box(settings))
    services.start_code()
    due_at = next_minute(system_clock() + timedelta(seconds=40))
    world = World(catalog, FakeClock(due_at))
    for number in range(NUMBER):
        sync = world.sync(f"tenant-{number % TENANTS}/sync-{number}")
        world.schedule(sync, {"type": "every", "minutes": 60})
    catalog.close()
    services.start_daemon()
    assert wait_until(lambda: tables_exist(services), seconds=60)

    half_way = wait_until(lambda: len(runs(services)) >= 40, seconds=120, every=0.01)
    services.kill_daemon()
    at_the_kill = len(runs(services))
    if back == "in a later minute":
        until(next_minute(system_clock()) + timedelta(seconds=2))
    services.start_daemon()
    complete = wait_until(lambda: len(runs(services)) >= NUMBER, seconds=150)
    beaten = services.sql("SELECT at FROM sync.heartbeats WHERE name = 'due_database_syncs'")
    another = wait_until(lambda: turns_since(services, beaten[0][0]), seconds=150)

    print(f"\n{back}: {at_the_kill} runs at the kill, {len(runs(services))} in the end")
    assert half_way
    assert 20 <= at_the_kill <= 180
    assert complete, services.log("daemon")
    assert another, services.log("daemon")
    assert len(runs(services)) == NUMBER
    assert {status for _, status in runs(services)} == {"QUEUED"}
    assert len({execution for execution, _ in runs(services)}) == NUMBER
    queued = services.sql("SELECT id::text FROM sync.sync_executions WHERE status = 'queued'")
    assert {row[0] for row in queued} == {execution for execution, _ in runs(services)}


def tables_exist(services: Services) -> bool:
    return services.sql("SELECT to_regclass('dagster.run_tags')") != [(None,)]


def turns_since(services: Services, at: datetime) -> bool:
    """Whether the schedule and the sensor have both had a turn after an instant."""
    rows = services.sql(
        "SELECT at FROM sync.heartbeats WHERE name IN ('due_database_syncs', 'dispatch_events')"
    )
    return len(rows) == 2 and all(row[0] > at for row in rows)


def runs(services: Services) -> list[tuple[str, str]]:
    return [
        (execution, status)
        for execution, status in services.sql(
            "SELECT t.value, r.status FROM dagster.runs r JOIN dagster.run_tags t "
            "ON t.run_id = r.run_id AND t.key = 'sync_pipelines/execution'"
        )
    ]

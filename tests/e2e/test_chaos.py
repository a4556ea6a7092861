"""Everything is killed again and again while syncs run: all end well, and nothing is held.

``SYNC_CHAOS_RUNS`` says how many executions there are (300), and ``SYNC_CHAOS_SEED`` which plan
is drawn for them; the plan says what is killed, not what that hits.
"""

import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random

import pytest
from sqlalchemy.exc import OperationalError

from sync_pipelines.catalog.store import Catalog, open_catalog
from sync_pipelines.catalog.syncs import find_sync
from sync_pipelines.clock import system_clock
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.runtime.postgres import discard, embedded
from sync_pipelines.runtime.session import DATABASE, secret_box
from sync_pipelines.runtime.waiting import wait_until
from sync_pipelines.settings import Settings
from tests.e2e.chaos import SYNCS, TENANTS, Chaos, Data, drawn, manifest

RUNS = int(os.environ.get("SYNC_CHAOS_RUNS", "300"))
SEED = int(os.environ.get("SYNC_CHAOS_SEED", "1"))
KILLS = max(8, RUNS // 5)
MOST_OPEN = 24
"""Executions that wait or run at once: the others are asked for while the kills go on."""
SETTLED_SECONDS = 300.0
"""The longest way home: a hand-over that died is looked for after two minutes."""
CALM_SECONDS = 60.0
START_SECONDS = 90.0

pytestmark = [
    pytest.mark.long,
    pytest.mark.processes,
    pytest.mark.timeout(300 + SETTLED_SECONDS + 5 * RUNS),
]

WITNESS = """
    CREATE TABLE public.transitions (
        id bigserial PRIMARY KEY, execution uuid, attempt int, run text, status text);
    CREATE FUNCTION public.witness() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO public.transitions (execution, attempt, run, status)
        VALUES (NEW.id, NEW.attempt, NEW.run_id, NEW.status);
        RETURN NULL;
    END $$;
    CREATE TRIGGER witness AFTER UPDATE OF status ON sync.sync_executions FOR EACH ROW
        WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION public.witness()
"""
"""Whatever becomes of an execution is noted by the database itself."""

OPEN = (
    "SELECT s.name, e.id::text, e.status, e.attempt, e.run_id, r.status, e.queued_at "
    "FROM sync.sync_executions e JOIN sync.syncs s ON s.id = e.sync_id "
    "LEFT JOIN dagster.runs r ON r.run_id = e.run_id "
    "WHERE e.status IN ('pending', 'queued', 'running') ORDER BY e.created_at"
)
ANY_DONE = "SELECT FROM sync.sync_executions WHERE status = 'completed' LIMIT 1"
STARTED_TWICE = (
    "SELECT execution, attempt, count(*) FROM public.transitions WHERE status = 'running' "
    "GROUP BY execution, attempt HAVING count(*) > 1"
)
RUNS_TWICE = (
    "SELECT value, count(*) FROM dagster.run_tags WHERE key = 'sync_pipelines/launch' "
    "GROUP BY value HAVING count(*) > 1"
)
UNFINISHED = (
    "SELECT run_id, status FROM dagster.runs WHERE status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED')"
)
SLOTS = (
    "SELECT concurrency_key, run_id FROM dagster.concurrency_slots WHERE run_id IS NOT NULL "
    "UNION ALL SELECT concurrency_key, run_id FROM dagster.pending_steps"
)
ENDINGS = (
    "SELECT status, attempt, extract(epoch FROM completed_at - created_at)::float "
    "FROM sync.sync_executions"
)
WHY = (
    "SELECT a ->> 'error_class', left(a ->> 'error', 70), count(*) FROM sync.sync_executions e, "
    "jsonb_array_elements(e.attempts) a WHERE a ->> 'error' IS NOT NULL "
    "GROUP BY 1, 2 ORDER BY 3 DESC"
)
DAGSTER_SAID = (
    "SELECT left(regexp_replace(event::json ->> 'user_message', '[0-9a-f-]{36}|[0-9]+', '#', 'g') "
    "|| coalesce(event::json -> 'dagster_event' ->> 'message', ''), 200), count(*) "
    "FROM dagster.event_logs WHERE dagster_event_type = 'PIPELINE_FAILURE' "
    "GROUP BY 1 ORDER BY 2 DESC"
)


@pytest.fixture
def chaos() -> Iterator[Chaos]:
    with tempfile.TemporaryDirectory(prefix="sync-chaos-") as directory:
        home = Path(directory)
        try:
            with embedded(home) as server:
                server.ensure_database("shop")
                made = Chaos(home, server.ensure_database(DATABASE))
                made.prepare()
                try:
                    yield made
                finally:
                    made.stop()
        finally:
            discard(home)


@pytest.fixture
def data(chaos: Chaos) -> Data:
    shop = chaos.database_url.replace(f"/{DATABASE}?", "/shop?")
    made = Data(chaos.home, shop)
    made.fill()
    for tenant in TENANTS:
        path = chaos.home / f"{tenant}.yaml"
        path.write_text(manifest(chaos.home, tenant, shop))
        chaos.cli("apply", "-f", str(path))
    return made


@pytest.fixture
def catalog(chaos: Chaos, data: Data) -> Iterator[Catalog]:
    opened = open_catalog(chaos.database_url, secret_box(Settings(home=chaos.home)))
    yield opened
    opened.close()


def test_whatever_is_killed_all_executions_end_well_and_nothing_is_held(
    chaos: Chaos, data: Data, catalog: Catalog
):
    """R92, T3: 300 runs with the hosts, the runs, the daemon and the database killed."""
    with catalog.engine.begin() as db:
        db.exec_driver_sql(WITNESS)
    chaos.start_code()
    chaos.start_host()
    chaos.start_daemon()
    began = time.monotonic()

    asked: list[str] = []
    with ThreadPoolExecutor(1) as feeding:
        fed = feeding.submit(feed, data, catalog, asked)
        unleash(chaos, asked, fed)
        wait_until(partial(_is_due, chaos, fed, asked, RUNS), seconds=SETTLED_SECONDS, every=0.2)
        assert fed.exception() is None, (chaos.sql(OPEN), chaos.log("daemon"), chaos.log("host"))
    chaotic = time.monotonic() - began
    settled = wait_until(partial(is_settled, chaos), seconds=SETTLED_SECONDS, every=0.5)
    home = time.monotonic() - began - chaotic
    still_open, attempts = chaos.sql(OPEN), chaos.sql(ENDINGS)
    report(chaos, attempts, chaotic, home)
    assert settled, (still_open, chaos.log("daemon"), chaos.log("host"))

    for tenant in TENANTS:
        for sync in SYNCS:
            ask(catalog, tenant, sync)
    assert wait_until(partial(is_settled, chaos), seconds=CALM_SECONDS, every=0.5), (
        "a slot is held",
        chaos.sql(OPEN),
        chaos.log("daemon"),
    )
    ended = wait_until(lambda: not chaos.sql(UNFINISHED), seconds=CALM_SECONDS, every=0.5)
    assert ended, chaos.sql(UNFINISHED)
    assert wait_until(lambda: not chaos.living(), seconds=CALM_SECONDS), chaos.living()
    assert {status for status, *_ in chaos.sql(ENDINGS)} == {"completed"}
    assert len(chaos.sql(ENDINGS)) >= RUNS + len(TENANTS) * len(SYNCS)
    assert chaos.sql(STARTED_TWICE) == []
    assert chaos.sql(RUNS_TWICE) == []
    assert chaos.sql(SLOTS) == []
    for tenant in TENANTS:
        for sync in SYNCS:
            source, destination = data.pair(tenant, sync)
            assert destination == source, f"{tenant}/{sync}"
    shown = chaos.cli("status")
    assert all(f"{tenant}/log" in shown for tenant in TENANTS)


def feed(data: Data, catalog: Catalog, asked: list[str]) -> None:
    """Change what the tenants hold, and ask for syncs of it, without ever asking for too much."""
    rng = Random(SEED)
    while len(asked) < RUNS:
        tenant, sync = rng.choice(TENANTS), rng.choice(SYNCS)
        data.change(tenant, sync)
        assert wait_until(lambda: has_room(catalog), seconds=SETTLED_SECONDS, every=0.2)
        ask(catalog, tenant, sync)
        asked.append(f"{tenant}/{sync}")


def has_room(catalog: Catalog) -> bool:
    with suppress(OperationalError), catalog.begin() as db:
        return len(db.exec_driver_sql(OPEN).fetchall()) < MOST_OPEN
    return False


def ask(catalog: Catalog, tenant: str, sync: str) -> None:
    """Trigger a sync, again if the database is just down; once too often does no harm."""

    def asked() -> bool:
        with suppress(OperationalError):
            with catalog.begin() as db:
                found = find_sync(db, catalog.secrets, f"{tenant}/{sync}")
            trigger(catalog, found, now=system_clock())
            return True
        return False

    assert wait_until(asked, seconds=90, every=0.2)


def is_settled(chaos: Chaos) -> bool:
    chaos.tend()
    return not chaos.sql(OPEN)


def _is_due(chaos: Chaos, fed: Future[None], asked: list[str], due: int) -> bool:
    chaos.tend()
    return fed.done() or len(asked) >= due


def unleash(chaos: Chaos, asked: list[str], fed: Future[None]) -> None:
    """Carry out the plan, spread over all that is asked for."""
    rng = Random(SEED)
    under_way = wait_until(lambda: bool(chaos.sql(ANY_DONE)), seconds=START_SECONDS)
    assert under_way, (chaos.log("daemon"), chaos.log("host"))
    for number, kill in enumerate(drawn(rng, KILLS)):
        due = RUNS * number // KILLS
        wait_until(partial(_is_due, chaos, fed, asked, due), seconds=SETTLED_SECONDS, every=0.2)
        time.sleep(kill.after_seconds)  # the peace that the plan gives
        chaos.kill(kill, rng)


def report(chaos: Chaos, attempts, chaotic: float, home: float) -> None:
    """A table for whoever runs it by hand (`pytest -s`)."""
    print(
        f"\n{len(attempts)} executions; {chaotic:.0f} s of chaos, then {home:.0f} s to settle all"
    )
    for victim, number in chaos.killed.items():
        print(f"  killed {number:>4}  {victim}")
    for name, number in chaos.fallen.items():
        print(f"  ended by itself {number:>4}  {name}")
    for status, number in Counter(status for status, *_ in attempts).items():
        print(f"  ended  {number:>4}  {status}")
    for attempt, number in sorted(Counter(attempt for _, attempt, _ in attempts).items()):
        print(f"  needed {number:>4}  {attempt} attempts")
    lasted = sorted(seconds for *_, seconds in attempts if seconds is not None)
    if lasted:
        print(
            f"  lasted {lasted[len(lasted) // 2]:.1f} s in the middle, {lasted[-1]:.1f} s at most"
        )
    for error_class, error, number in chaos.sql(WHY):
        print(f"  failed {number:>4}  {error_class}: {error}")
    for said, number in chaos.sql(DAGSTER_SAID):
        print(f"  Dagster: {number:>3}  {said}")

"""Asks a gateway on a full catalog, again and again, and takes the time of each answer.

The lists and the dashboard are of a tenant that has half of everything; the report of seven
days is of one among a hundred, that of ninety days of one with few syncs and as many
executions as all others together. The report of each of the large one's thousands of syncs
has no budget.
"""

import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import timedelta
from random import Random
from statistics import quantiles
from threading import Thread
from time import perf_counter, sleep

import httpx
import uvicorn
from sqlalchemy import Connection as Db
from sqlalchemy import text

from benchmarks.task import Measure, Task, peak_mb
from sync_pipelines.catalog.secrets import SecretBox, new_key
from sync_pipelines.catalog.store import Catalog, open_catalog
from sync_pipelines.catalog.tenants import find_tenant
from sync_pipelines.catalog.tokens import issue_token
from sync_pipelines.clock import system_clock
from sync_pipelines.gateway.app import create_app
from sync_pipelines.gateway.doors import Doors
from sync_pipelines.model.roles import Role
from sync_pipelines.settings import Settings

TENANTS = 100
EACH = 100
"""Executions of a schedule, over thirty days."""

WARMING = 3

LONG = "report of half"
"""What has no budget, and is not asked as often."""

LARGE, USUAL, BUSY = "tenant-1", "tenant-2", "busy"

BUSY_SYNCS = 100
BUSY_DAYS = 90

_FILL = (
    "TRUNCATE sync.tenants, sync.sync_decisions CASCADE",
    "INSERT INTO sync.tenants (name) SELECT 'tenant-' || n FROM generate_series(1, :tenants) n",
    """
    INSERT INTO sync.connections (tenant_id, name, connector)
    SELECT id, 'warehouse', 'database' FROM sync.tenants
    """,
    """
    INSERT INTO sync.syncs (tenant_id, name, source_id, destination_id, connector, dataset, streams)
    SELECT t.id, 'sync-' || n, c.id, c.id, 'database', 'd', '[{"name": "orders"}]'
    FROM generate_series(1, :schedules) n
    JOIN sync.tenants t ON t.name =
        'tenant-' || CASE WHEN n % 2 = 0 THEN 1 ELSE 2 + n / 2 % (:tenants - 1) END
    JOIN sync.connections c ON c.tenant_id = t.id
    """,
    """
    INSERT INTO sync.sync_schedules (tenant_id, sync_id, name, schedule_type, config,
           created_at, decided_until, next_run_at)
    SELECT tenant_id, id, 'main', 'daily', '{"cadence": {"type": "daily", "at": "02:00"}}',
           now() - interval '30 days', now(), now() + random() * interval '1 day'
    FROM sync.syncs
    """,
    """
    INSERT INTO sync.sync_executions (tenant_id, sync_id, schedule_id, trigger, status, due_at,
           created_at, started_at, completed_at, followed_up_at, duration_ms, records_processed)
    SELECT tenant_id, sync_id, id, 'scheduled',
           CASE WHEN random() < 0.01 THEN 'failed' ELSE 'completed' END,
           at, at, at, at, at, (random() * 60000)::bigint, 1000
    FROM (
        SELECT s.*, now() - (n + random()) * interval '7 hours' AS at
        FROM sync.sync_schedules s CROSS JOIN generate_series(1, :each) n
    ) s
    ORDER BY at
    """,
    "INSERT INTO sync.tenants (name) VALUES (:busy)",
    """
    INSERT INTO sync.connections (tenant_id, name, connector)
    SELECT id, 'warehouse', 'database' FROM sync.tenants WHERE name = :busy
    """,
    """
    INSERT INTO sync.syncs (tenant_id, name, source_id, destination_id, connector, dataset, streams)
    SELECT t.id, 'sync-' || n, c.id, c.id, 'database', 'd', '[{"name": "orders"}]'
    FROM generate_series(1, :busy_syncs) n
    JOIN sync.tenants t ON t.name = :busy
    JOIN sync.connections c ON c.tenant_id = t.id
    """,
    """
    INSERT INTO sync.sync_executions (tenant_id, sync_id, trigger, status, created_at,
           started_at, completed_at, followed_up_at, duration_ms, records_processed)
    SELECT tenant_id, id, 'manual',
           CASE WHEN random() < 0.01 THEN 'failed' ELSE 'completed' END,
           at, at, at, at, (random() * 60000)::bigint, 1000
    FROM (
        SELECT s.*, now() - (n + random()) * make_interval(days => :busy_days) / :schedules AS at
        FROM sync.syncs s JOIN sync.tenants t ON t.id = s.tenant_id AND t.name = :busy
        CROSS JOIN generate_series(0, :schedules - 1) n
    ) s
    ORDER BY at
    """,
)


def asked(task: Task) -> Measure:
    """The answers' times, by what was asked."""
    with closing(open_catalog(task.catalog, SecretBox((new_key(),)))) as catalog:
        with catalog.begin() as db:
            for statement in _FILL:
                counts = {"tenants": TENANTS, "schedules": task.due, "each": EACH}
                busy = {"busy": BUSY, "busy_syncs": BUSY_SYNCS, "busy_days": BUSY_DAYS}
                db.execute(text(statement), {**counts, **busy})
            headers = {name: _headers(db, name) for name in (LARGE, USUAL, BUSY)}
        with catalog.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as alone:
            alone.execute(text("VACUUM ANALYZE"))  # as the server does by itself in time
        with _listening(catalog) as url, httpx.Client(base_url=url, timeout=60) as http:
            return _measured(http, headers, times=task.times)


def _measured(
    http: httpx.Client, headers_of: Mapping[str, Mapping[str, str]], *, times: int
) -> Measure:
    large, usual, busy = (headers_of[name] for name in (LARGE, USUAL, BUSY))
    long = system_clock() - timedelta(days=BUSY_DAYS)
    base = "/api/v2/sync-schedules"
    one = http.get(base, headers=large).json()["items"][7]["id"]
    # A page from the middle: what lies before it must cost nothing.
    middle = http.get("/api/v2/executions", headers=large, params={"limit": 200}).json()["next"]
    requests = {
        "schedules": (f"{base}?limit=50&sort=next_run_at", large),
        "schedule": (f"{base}/{one}", large),
        "history": (f"{base}/{one}/history?limit=50", large),
        "executions": (f"/api/v2/executions?limit=50&cursor={middle}", large),
        "failed": ("/api/v2/executions?limit=50&status=failed", usual),
        "dashboard": ("/api/v2/reports/dashboard", large),
        "report": ("/api/v2/reports", usual),
        "long report": (f"/api/v2/reports?from={long:%Y-%m-%dT%H:%M:%SZ}", busy),
        LONG: ("/api/v2/reports", large),
    }
    figures: dict[str, float] = {}
    samples: list[float] = []
    for name, (path, headers) in requests.items():
        taken = []
        repeated = min(times, 5) if name == LONG else times
        for number in range(-WARMING, repeated):
            started = perf_counter()
            http.get(path, headers=headers).raise_for_status()
            if number >= 0:
                taken.append(perf_counter() - started)
        parts = quantiles(taken, n=20, method="inclusive")
        figures[f"{name} p50 ms"] = round(parts[9] * 1000, 1)
        figures[f"{name} p95 ms"] = round(parts[18] * 1000, 1)
        samples += taken
    return Measure(
        seconds=sum(samples) / len(samples),
        cpu_seconds=0.0,
        peak_mb=peak_mb(),
        processed=len(samples),
        figures=figures,
    )


def _headers(db: Db, tenant: str) -> dict[str, str]:
    issued = issue_token(
        db,
        tenant_id=find_tenant(db, tenant).id,
        name="bench",
        role=Role.VIEWER,
        scopes=(),
        expires_at=None,
        created_by="cli:bench",
        now=system_clock(),
    )
    return {"Authorization": f"Bearer {issued.secret}"}


@contextmanager
def _listening(catalog: Catalog) -> Iterator[str]:
    settings = Settings(token_requests_per_second=100_000, tenant_requests_per_second=100_000)
    doors = Doors(
        catalog=catalog,
        settings=settings,
        clock=system_clock,
        rng=Random(),
        launch=lambda _: False,
        dagster_url=lambda: None,
    )
    with closing(socket.create_server(("127.0.0.1", 0))) as where:
        config = uvicorn.Config(create_app(doors), log_config=None, access_log=False)
        server = uvicorn.Server(config)
        thread = Thread(target=server.run, kwargs={"sockets": [where]}, daemon=True)
        thread.start()
        while not server.started:
            sleep(0.01)
        yield f"http://127.0.0.1:{where.getsockname()[1]}"
        server.should_exit = True
        thread.join(timeout=10)

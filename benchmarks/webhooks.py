"""From a webhook that is posted to its row at the destination: `up`, as shipped.

One sync of one tenant has a row that a webhook is about; the row is changed, the webhook
posted, and the destination looked at until it has the change. So what is measured is all
of it: proof, storing, deciding, hand-over, Dagster's queue, the run, and the commit. Under
load, other tenants' syncs run all the while.
"""

import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from hashlib import sha256
from hmac import new
from pathlib import Path
from statistics import quantiles
from threading import Event, Thread
from time import perf_counter, sleep
from uuid import uuid4

import httpx
import psycopg
from pydantic import SecretStr

from benchmarks.rushing import PORT, TABLE, prepare, synced_once
from benchmarks.task import Measure, Task, peak_mb
from sync_pipelines.catalog.schedules import put_schedule
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.clock import system_clock
from sync_pipelines.engine import webhooks
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.model.cadence import parse_cadence
from sync_pipelines.model.endpoint import Endpoint
from sync_pipelines.model.schedule import Schedule
from sync_pipelines.model.sync import Sync
from sync_pipelines.runtime.launching import hand_over
from sync_pipelines.runtime.session import open_session
from sync_pipelines.runtime.up import Endpoints, run_up
from sync_pipelines.settings import Settings

GATEWAY_PORT = 8900
SECRET = "a secret of sixteen or more bytes"
WARMING = 5
PATIENCE_SECONDS = 30.0
LOOK_SECONDS = 0.005

STEPS = (
    "received to decided",
    "decided to claimed",
    "claimed to started",
    "started to ended",
)
"""By what the catalog's rows say; a run ends a little after its data is committed."""

_CHANGE = f"UPDATE {TABLE} SET updated_at = clock_timestamp() WHERE id = 1 RETURNING updated_at"

_OVER = """
SELECT 1 WHERE NOT EXISTS (
    SELECT FROM sync.sync_executions WHERE sync_id = %s AND completed_at IS NULL
)
"""

_STEPS = """
WITH steps AS (
    SELECT w.received_at, e.* FROM sync.sync_executions e
      JOIN sync.webhook_events w ON w.execution_id = e.id
     WHERE e.sync_id = %s AND e.trigger = 'realtime' AND e.status = 'completed'
       AND e.created_at > %s
), taken (part, seconds) AS (
    SELECT 1, created_at - received_at FROM steps
    UNION ALL SELECT 2, queued_at - created_at FROM steps
    UNION ALL SELECT 3, started_at - queued_at FROM steps
    UNION ALL SELECT 4, completed_at - started_at FROM steps
)
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM seconds)),
       percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM seconds))
  FROM taken GROUP BY part ORDER BY part
"""


def posted(task: Task) -> Measure:
    """``task.times`` webhooks, one after the other, beside ``task.due`` syncs that go on."""
    settings = Settings(
        home=Path(task.destination),
        database_url=SecretStr(task.catalog),
        secret_key=None,
        dagster_port=PORT,
        gateway_port=GATEWAY_PORT,
    )
    prepare(task)
    with open_session(settings) as opened:
        watched, *others = synced_once(opened.catalog, task, number=task.due + 1)
        endpoint = listening(opened.catalog, watched, name=Path(task.destination).name)
    samples: list[float] = []
    steps: list[tuple[float, ...]] = []

    def ready(where: Endpoints) -> None:
        began = system_clock()
        with (
            open_session(settings) as opened,
            _load(opened.catalog, others, where.dagster_url),
        ):
            samples.extend(_measured(task, endpoint, watched, where.gateway_url))
        with psycopg.connect(task.catalog) as catalog:
            steps.extend(catalog.execute(_STEPS, [watched.id, began]).fetchall())

    run_up(settings, on_ready=ready, once=True, say=lambda _: None)
    if len(samples) < task.times:
        raise RuntimeError("stopped before all were posted")
    median, late = quantiles(samples, n=20)[9], quantiles(samples, n=20)[18]
    return Measure(
        seconds=median,
        cpu_seconds=0.0,
        peak_mb=peak_mb(),
        samples=samples,
        figures={
            "posted to committed, p50 s": median,
            "posted to committed, p95 s": late,
            **{
                f"{name}, {part} s": float(step)
                for name, both in zip(STEPS, steps, strict=True)
                for part, step in zip(("p50", "p95"), both, strict=True)
            },
        },
    )


def listening(catalog: Catalog, sync: Sync, *, name: str) -> Endpoint:
    """Give a sync a schedule that waits for webhooks, and an address for them."""
    now = system_clock()
    with catalog.begin() as db:
        schedule = Schedule(
            id=uuid4(),
            tenant_id=sync.tenant_id,
            sync_id=sync.id,
            name="live",
            cadence=parse_cadence({"type": "realtime"}),
            created_at=now,
            decided_until=now,
        )
        put_schedule(db, schedule, now=now)
    return webhooks.create(
        catalog,
        tenant=sync.tenant,
        name=name,
        scheme="woocommerce",
        options={},
        connection=sync.source.name,
        secret=SECRET,
        silence_after=None,
        actor="benchmark",
        now=now,
    ).endpoint


def _measured(
    task: Task, endpoint: Endpoint, sync: Sync, gateway_url: str
) -> Iterator[float]:  # fmt: skip
    with (
        closing(psycopg.connect(task.source, autocommit=True)) as source,
        closing(psycopg.connect(task.target, autocommit=True)) as target,
        closing(psycopg.connect(task.catalog, autocommit=True)) as catalog,
        httpx.Client(base_url=gateway_url, timeout=10.0) as client,
    ):
        arrived = f"SELECT 1 FROM {sync.dataset}.{TABLE} WHERE id = 1 AND updated_at >= %s"
        for number in range(-WARMING, task.times):
            row = source.execute(_CHANGE).fetchone()
            assert row is not None
            began = perf_counter()
            _post(client, endpoint, number)
            _wait(target, arrived, row[0])
            if number >= 0:
                yield perf_counter() - began
            # One execution of a sync runs at a time: the next would wait for this one's end.
            _wait(catalog, _OVER, sync.id)


def _post(client: httpx.Client, endpoint: Endpoint, number: int) -> None:
    body = json.dumps({"id": 1, "number": number}).encode()
    client.post(f"/webhooks/{endpoint.key}", content=body, headers=signed(body)).raise_for_status()


def signed(body: bytes) -> dict[str, str]:
    """The headers of a shop's webhook."""
    signature = b64encode(new(SECRET.encode(), body, sha256).digest()).decode()
    return {
        "X-WC-Webhook-Signature": signature,
        "X-WC-Webhook-Topic": "order.updated",
        "X-WC-Webhook-Delivery-ID": f"d-{uuid4()}",
        "Content-Type": "application/json",
    }


def _wait(database: psycopg.Connection[tuple[object, ...]], query: str, value: object) -> None:
    """Until the query finds something."""
    given_up = perf_counter() + PATIENCE_SECONDS
    while database.execute(query.encode(), [value]).fetchone() is None:
        if perf_counter() > given_up:
            raise RuntimeError(f"nothing came within {PATIENCE_SECONDS:.0f} s: {query}")
        sleep(LOOK_SECONDS)


@contextmanager
def _load(catalog: Catalog, syncs: Sequence[Sync], dagster_url: str) -> Iterator[None]:
    """Let these run, each again and again, one a second of all of them."""
    done = Event()

    def go_on() -> None:
        for sync in _round_and_round(syncs):
            execution_id = trigger(catalog, sync, now=system_clock())
            hand_over(catalog, execution_id, url=dagster_url, clock=system_clock)
            if done.wait(1.0):
                return

    loading = Thread(target=go_on, name="load")
    if syncs:
        loading.start()
    try:
        yield
    finally:
        done.set()
        if syncs:
            loading.join()


def _round_and_round(syncs: Sequence[Sync]) -> Iterator[Sync]:
    while True:
        yield from syncs

"""A flood of webhooks: gateways as `serve` starts them, and one sender, on loopback.

Each webhook is signed and is another order, so every one must be stored, once. The
gateways decide on events meanwhile, as ever; there is no Dagster to run what they start.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from statistics import quantiles

import httpx
import psutil
import psycopg
from sqlalchemy import text

from benchmarks.child import cpu_seconds
from benchmarks.sender import Sent, flood
from benchmarks.task import Measure, Task, peak_mb
from benchmarks.webhooks import listening, signed
from sync_pipelines.catalog.secrets import SecretBox, new_key
from sync_pipelines.catalog.store import Catalog, open_catalog
from sync_pipelines.catalog.syncs import find_sync
from sync_pipelines.model.endpoint import Endpoint
from sync_pipelines.runtime.waiting import wait_until

START_SECONDS = 60.0
LINES = 8
"""Of an order: with them it has a kilobyte, as a small one in a shop has."""


def flooded(task: Task) -> Measure:
    """``task.times`` webhooks to ``task.gateways``, ``task.due`` a second; 0: all they take."""
    key = new_key()
    with ExitStack() as stack:
        catalog = stack.enter_context(closing(open_catalog(task.catalog, SecretBox((key,)))))
        endpoint = _made(catalog)
        ports = [_free_port() for _ in range(task.gateways)]
        gateways = [
            psutil.Process(stack.enter_context(_serving(task, port, key))) for port in ports
        ]
        requests = [_request(endpoint, number) for number in range(task.times)]
        server = _server(task.catalog)
        before = (cpu_seconds(), _used(gateways), _used(server))
        sent = flood(ports, requests, per_second=task.due or None)
        after = (cpu_seconds(), _used(gateways), _used(server))
        with catalog.begin() as db:
            stored, told, once, taken = db.execute(_STORED).one()
    if (stored, told, once) != (len(sent.latencies),) * 3:
        raise RuntimeError(
            f"{len(sent.latencies)} were accepted, but {stored} are stored, with {told} events "
            f"of {once} orders"
        )
    sender, gateway, database = (
        (late - early) / sent.seconds for early, late in zip(before, after, strict=True)
    )
    return Measure(
        seconds=sent.seconds,
        cpu_seconds=after[1] - before[1],
        peak_mb=peak_mb(),
        processed=stored,
        figures={
            "accepted a second": len(sent.latencies) / sent.seconds,
            **_answers(sent),
            "refused": sent.refused,
            "stored once": stored,
            "taken up by then": taken,
            "cores of the gateways": gateway,
            "cores of the server": database,
            "cores of the sender": sender,
        },
    )


_STORED = text("""
    SELECT (SELECT count(*) FROM sync.webhook_deliveries), count(*), count(DISTINCT entity_id),
           count(*) FILTER (WHERE status <> 'pending')
    FROM sync.webhook_events
""")


def _answers(sent: Sent) -> dict[str, float]:
    parts = quantiles(sent.latencies, n=100, method="inclusive")
    return {f"answer p{part} ms": parts[part - 1] * 1000 for part in (50, 95, 99)}


_SYNC = (
    "TRUNCATE sync.tenants, sync.sync_decisions CASCADE",
    "INSERT INTO sync.tenants (name) VALUES ('acme')",
    """
    INSERT INTO sync.connections (tenant_id, name, connector)
    SELECT id, 'shop', 'database' FROM sync.tenants
    """,
    """
    INSERT INTO sync.syncs (tenant_id, name, source_id, destination_id, connector, dataset, streams)
    SELECT tenant_id, 'orders', id, id, connector, 'd', '[{"name": "orders"}]' FROM sync.connections
    """,
)


def _made(catalog: Catalog) -> Endpoint:
    """A sync that nothing will run, and where its webhooks come in."""
    with catalog.begin() as db:
        for statement in _SYNC:
            db.execute(text(statement))
        sync = find_sync(db, catalog.secrets, "acme/orders")
    return listening(catalog, sync, name="flood")


@contextmanager
def _serving(task: Task, port: int, key: str) -> Iterator[int]:
    """A gateway as it is shipped; its process's number, once it answers."""
    home = Path(task.destination) / str(port)
    home.mkdir(parents=True)
    environment = {name: value for name, value in os.environ.items() if "SYNC_" not in name}
    settings = {"SYNC_DATABASE_URL": task.catalog, "SYNC_SECRET_KEY": key, "SYNC_HOME": str(home)}
    with (home / "gateway.log").open("w") as said:
        started = subprocess.Popen(
            [sys.executable, "-m", "sync_pipelines.cli", "serve", "--port", str(port)],
            stdout=said,
            stderr=said,
            env={**environment, **settings},
        )
    try:
        if not wait_until(lambda: _is_listening(port), seconds=START_SECONDS):
            raise RuntimeError("the gateway does not answer")
        yield started.pid
    finally:
        started.terminate()
        started.wait()


def _is_listening(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/live").is_success
    except httpx.TransportError:
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def _request(endpoint: Endpoint, number: int) -> bytes:
    """A changed order, signed, as bytes to be sent."""
    item = {"name": "A thing that is sold", "product_id": 93, "quantity": 2, "total": "6.00"}
    order = {"id": number, "status": "processing", "total": "48.00", "line_items": [item] * LINES}
    body = json.dumps(order).encode()
    headers = {"Host": "127.0.0.1", "Content-Length": str(len(body)), **signed(body)}
    lines = [f"POST /webhooks/{endpoint.key} HTTP/1.1", *map(": ".join, headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _server(url: str) -> list[psutil.Process]:
    """PostgreSQL's first process, whose children the others are; none if it runs elsewhere."""
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert found is not None
        try:
            backend = psutil.Process(found[0])
            first = backend.parent() if "postgres" in backend.name() else None
        except psutil.Error:
            return []
    return [first] if first is not None else []


def _used(processes: Sequence[psutil.Process]) -> float:
    """Seconds of processor that these and their children have used, those that ended too."""
    total = 0.0
    for process in processes:
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = one.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total

"""Webhooks offered at a thousand a second, and the gateway killed in between."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from statistics import quantiles

import pytest
from sqlalchemy import text

from sync_pipelines.catalog.secrets import SecretBox, new_key
from sync_pipelines.catalog.store import open_catalog
from sync_pipelines.runtime.waiting import wait_until
from tests.gateway.hooks import endpoint
from tests.gateway.sender import send
from tests.world import World

pytestmark = [pytest.mark.processes, pytest.mark.long]

PER_SECOND = 1_000
SECONDS = 10


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


@pytest.fixture
def secret_key():
    return new_key()


@pytest.fixture
def world(empty_postgres_url, secret_key):
    catalog = open_catalog(empty_postgres_url, SecretBox((secret_key,)))
    yield World(catalog)
    catalog.close()


@pytest.fixture
def serve(empty_postgres_url, secret_key, tmp_path):
    """Starts a gateway at a port; when it answers, gives its process."""
    started: list[subprocess.Popen[bytes]] = []

    def serve(port):
        said = tmp_path / f"gateway-{len(started)}.log"  # a pipe that nobody reads fills up
        with said.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "sync_pipelines.cli", "serve", "--port", str(port)],
                stdout=file,
                stderr=file,
                env={
                    **{name: value for name, value in os.environ.items() if "SYNC_" not in name},
                    "SYNC_DATABASE_URL": empty_postgres_url,
                    "SYNC_SECRET_KEY": secret_key,
                    "SYNC_HOME": str(tmp_path),
                    "PYTHONPATH": str(Path.cwd()),
                },
            )
        started.append(process)
        wait_until(
            lambda: "the gateway is on" in said.read_text() or process.poll() is not None,
            seconds=60,
        )
        assert "the gateway is on" in said.read_text(), said.read_text()
        return process

    yield serve
    for process in started:
        process.kill()
        process.wait()


def stored_once(world):
    """The orders that are stored; each must have one event."""
    with world.catalog.begin() as db:
        bodies = db.scalars(text("SELECT body FROM sync.webhook_deliveries")).all()
        told = db.scalars(text("SELECT entity_id::int FROM sync.webhook_events")).all()
    orders = sorted(json.loads(body)["id"] for body in bodies)
    assert sorted(told) == orders
    return orders


def test_what_is_offered_at_a_thousand_a_second_is_stored_once_over_a_kill_of_the_gateway(
    world, serve, capsys
):
    """R40, R43: the sender sends again what was not answered."""
    hooks = []
    for tenant in ("acme", "globex"):
        sync = world.sync(f"{tenant}/orders")
        world.schedule(sync, {"type": "realtime"})
        hooks.append(endpoint(world, tenant=tenant, connection="orders-source"))
    port = free_port()
    first = serve(port)
    number = PER_SECOND * SECONDS

    async def outage():
        await asyncio.sleep(SECONDS * 0.4)
        first.kill()
        first.wait()
        await asyncio.to_thread(serve, port)

    async def both():
        paths = [f"/webhooks/{hook.key}" for hook in hooks]
        sending = send(port, paths, number=number, per_second=PER_SECOND)
        return (await asyncio.gather(sending, outage()))[0]

    sent = asyncio.run(both())

    once = stored_once(world)
    with world.catalog.begin() as db:
        taken = db.scalar(
            text("SELECT count(*) FROM sync.webhook_events WHERE status <> 'pending'")
        )
    median, *_, late = quantiles(sent.latencies, n=20)[9:]
    with capsys.disabled():
        print(
            f"\n{number} webhooks in {sent.seconds:.1f} s, {sent.attempts} attempts, answered in "
            f"{median * 1000:.0f} ms (median), {late * 1000:.0f} ms (p95); {taken} taken up"
        )
    assert once == list(range(number))
    assert sent.attempts > number


def test_of_what_is_offered_at_a_thousand_a_second_nothing_is_refused(world, serve, capsys):
    """R40, R43. How fast the answers come is for the benchmark `flood` to say."""
    sync = world.sync()
    world.schedule(sync, {"type": "realtime"})
    hook = endpoint(world, connection="orders-source")
    port = free_port()
    serve(port)
    number = PER_SECOND * SECONDS

    sent = asyncio.run(send(port, [f"/webhooks/{hook.key}"], number=number, per_second=PER_SECOND))

    median, *_, late = quantiles(sent.latencies, n=20)[9:]
    with capsys.disabled():
        print(
            f"\n{number} webhooks in {sent.seconds:.1f} s, {sent.attempts} attempts, answered in "
            f"{median * 1000:.0f} ms (median), {late * 1000:.0f} ms (p95)"
        )
    assert stored_once(world) == list(range(number))
    assert sent.attempts == number

"""The gateway as a process of its own."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.processes


@pytest.fixture
def start(empty_postgres_url, tmp_path):
    started = []

    def start(*options):
        process = subprocess.Popen(
            [sys.executable, "-m", "sync_pipelines.cli", "serve", *options],
            stderr=subprocess.PIPE,
            text=True,
            env={
                **{name: value for name, value in os.environ.items() if "SYNC_" not in name},
                "SYNC_DATABASE_URL": empty_postgres_url,
                "SYNC_HOME": str(tmp_path),
                "PYTHONPATH": str(Path.cwd()),
            },
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


def url_of(process):
    for line in process.stderr:
        if found := re.search(r"the gateway is on (\S+)", line):
            return found[1]
    raise AssertionError("it has ended")


def test_the_gateway_serves_alone_and_ends_in_order_when_it_is_told_to(start):
    process = start("--port", "0")
    url = url_of(process)

    answer = httpx.get(f"{url}/health/live", timeout=20)
    process.send_signal(signal.SIGTERM)
    code = process.wait(timeout=20)

    assert answer.json() == {"status": "alive"}
    assert "server" not in answer.headers
    assert code == 0


def test_a_port_that_is_taken_is_said_with_the_remedy(start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start("--port", str(taken.getsockname()[1]))
        said = process.stderr.read()
        code = process.wait(timeout=20)

    assert code == 1
    assert "SYNC_GATEWAY_PORT" in said
    assert "Traceback" not in said

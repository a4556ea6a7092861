"""The newcomer's first command, as a process of its own in a home of its own."""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sync_pipelines.runtime.postgres import discard
from tests.mortal import mortal

pytestmark = [pytest.mark.processes, pytest.mark.timeout(400)]


@pytest.fixture
def home(worker_home):
    with tempfile.TemporaryDirectory(prefix="demo-", dir=worker_home) as directory:
        yield Path(directory)
        discard(Path(directory))


def demo(home):
    environment = {name: value for name, value in os.environ.items() if "SYNC_" not in name}
    done = subprocess.run(
        mortal(sys.executable, "-m", "sync_pipelines.cli", "demo", "--json"),
        env=environment
        | {"SYNC_HOME": str(home), "SYNC_DAGSTER_PORT": "3900", "SYNC_GATEWAY_PORT": "3950"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_the_demo_moves_real_data_through_dagster_and_a_second_one_only_what_is_new(home):
    first, said = demo(home)
    second, _ = demo(home)

    moved = {stream["stream"]: stream for stream in first["streams"]}
    again = {stream["stream"]: stream for stream in second["streams"]}
    assert first["status"] == second["status"] == "completed"
    assert moved["public.flights"]["records_created"] > 300_000
    assert moved["public.flights"]["encoding"] == "pgcopy"
    assert again["public.flights"]["records_created"] == 0
    assert moved["public.flights"]["watermark"] == again["public.flights"]["watermark"]
    told = [line for line in said.splitlines() if line.startswith("runs ")]
    assert sum("public.flights: " in line for line in told) == 1
    assert all(re.fullmatch(r"runs +│ \d\d:\d\d:\d\d run \w{8}: .*", line) for line in told)

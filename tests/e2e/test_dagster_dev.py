"""For those who know Dagster: `dagster dev` with this project's files and one's own database."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from sync_pipelines.runtime.waiting import wait_until
from tests.mortal import mortal

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
JOBS = "{ repositoriesOrError { ... on RepositoryConnection { nodes { jobs { name } } } } }"
HEALTH = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"


def ask(url, query):
    try:
        answer = httpx.post(f"{url}/graphql", json={"query": query}, timeout=10)
    except httpx.TransportError:
        return None
    return answer.json()["data"] if answer.is_success else None


def stop(process):
    """End the whole family, by pid; Dagster's servers outlive a parent that is killed."""
    family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    process.send_signal(signal.SIGINT)
    _, alive = psutil.wait_procs(family, timeout=30)
    for left in alive:
        left.kill()
    process.wait()


def test_dagster_dev_gets_the_same_definitions_and_a_healthy_daemon(tmp_path, postgres_url):
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if "SYNC_" not in name}
    environment |= {
        "DAGSTER_HOME": str(tmp_path),
        "SYNC_DATABASE_URL": postgres_url,
        "SYNC_HOME": str(tmp_path),
    }
    command = mortal(sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml")
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=tmp_path,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"

    def healthy():
        found = ask(url, HEALTH)
        statuses = found["instance"]["daemonHealth"]["allDaemonStatuses"] if found else []
        return statuses and all(one["healthy"] for one in statuses if one["required"])

    try:
        is_healthy = wait_until(lambda: bool(healthy()), seconds=120)
        answer = ask(url, JOBS)
    finally:
        stop(process)

    assert is_healthy, log.read_text()[-3000:]
    (node,) = answer["repositoriesOrError"]["nodes"]
    assert "sync_database" in [job["name"] for job in node["jobs"]]

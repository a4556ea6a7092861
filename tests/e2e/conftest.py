"""One installation for the whole directory: `sync-pipelines up`, its own home, real processes."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import psycopg
import pytest

from sync_pipelines.runtime.postgres import Server, discard, embedded
from sync_pipelines.runtime.waiting import wait_until
from tests.gateway.collector import Collector, collecting
from tests.mortal import mortal

START_SECONDS = 120.0
STOP_SECONDS = 40.0
RUN_SECONDS = 90.0


@dataclass
class Installation:
    """A running `up`, and the ways people use it."""

    home: Path
    server: Server
    collector: Collector
    dagster_url: str = ""
    lines: list[str] = field(default_factory=list)

    @property
    def gateway_url(self) -> str:
        found = _told(self.lines, r"the gateway +(http://\S+)")
        assert found is not None
        return found

    @property
    def first_admin_key(self) -> str:
        found = _told(self.lines, r"first-admin\?key=(\S+)")
        assert found is not None
        return found

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SYNC_")}
        return kept | {
            "SYNC_HOME": str(self.home),
            "SHOP_URL": self.server.url("shop"),
            "WAREHOUSE_URL": self.server.url("warehouse"),
        }

    @property
    def dagster_environment(self) -> dict[str, str]:
        """What somebody sets who uses Dagster's own command line."""
        return self.environment | {
            "DAGSTER_HOME": str(self.home / "dagster"),
            "SYNC_DATABASE_URL": self.server.url("sync_pipelines"),
        }

    def cli(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "sync_pipelines.cli", *arguments]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )

    def json(self, *arguments: str) -> Any:
        done = self.cli(*arguments, "--json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def apply(self, text: str) -> None:
        manifest = self.home / "manifest.yaml"
        manifest.write_text(text)
        done = self.cli("apply", "-f", str(manifest))
        assert done.returncode == 0, done.stderr

    def graphql(self, query: str, variables: Mapping[str, Any] | None = None) -> Any:
        answer = httpx.post(
            f"{self.dagster_url}/graphql",
            json={"query": query, "variables": variables or {}},
            timeout=60,
        )
        assert answer.is_success, answer.text
        return answer.json()["data"]

    def sql(self, database: str, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.server.url(database)) as connection:
            cursor = connection.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def history(self, sync: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.json("history", sync, "--runs-only")
        return found

    def wait_for_status(
        self, sync: str, *statuses: str, run_id: str | None = None
    ) -> dict[str, Any]:
        """The newest execution of a sync (or that of a run), once it has one of these."""
        found: list[dict[str, Any]] = []

        def there() -> bool:
            entries = [e for e in self.history(sync) if run_id in (None, e["run_id"])]
            found[:] = [entry for entry in entries[:1] if entry["status"] in statuses]
            return bool(found)

        wait_until(there, seconds=RUN_SECONDS)
        assert found, "\n".join([str(self.history(sync)), *self.lines[-60:]])
        return found[0]


@pytest.fixture(scope="session")
def installation(worker_home: Path) -> Iterator[Installation]:
    with tempfile.TemporaryDirectory(prefix="e2e-", dir=worker_home) as directory:
        home = Path(directory)
        try:
            with embedded(home) as server, collecting() as collector:
                for database in ("shop", "warehouse"):
                    server.ensure_database(database)
                made = Installation(home=home, server=server, collector=collector)
                yield from _running(made)
        finally:
            discard(home)


def _running(installation: Installation) -> Iterator[Installation]:
    with socket.socket() as free, socket.socket() as other:
        free.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        port, gateway_port = free.getsockname()[1], other.getsockname()[1]
    process = subprocess.Popen(
        mortal(sys.executable, "-m", "sync_pipelines.cli", "up", "--port", str(port)),
        env={
            **installation.environment,
            "SYNC_GATEWAY_PORT": str(gateway_port),
            "SYNC_LOG_FORMAT": "json",
            "SYNC_OTEL_ENDPOINT": installation.collector.url,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    reader = Thread(target=_read, args=(process, installation.lines), daemon=True)
    reader.start()
    try:
        assert wait_until(
            lambda: process.poll() is not None or _address(installation.lines) is not None,
            seconds=START_SECONDS,
        )
        address = _address(installation.lines)
        assert address, "\n".join(installation.lines)
        installation.dagster_url = address
        yield installation
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join()
        process.stdout.close()


def _read(process: "subprocess.Popen[str]", lines: list[str]) -> None:
    assert process.stdout is not None
    lines.extend(line.rstrip() for line in process.stdout)


def _address(lines: list[str]) -> str | None:
    return _told(lines, r"Dagster's pages +(http://\S+)")


def _told(lines: list[str], pattern: str) -> str | None:
    found = (re.search(pattern, line) for line in lines)
    return next((match[1] for match in found if match), None)

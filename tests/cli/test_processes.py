"""Runs as processes of their own: killed, interrupted, retried, side by side."""

import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import psycopg
import pytest
from sqlalchemy import text

from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.syncs import find_sync
from sync_pipelines.engine.run import Engine
from sync_pipelines.model.execution import Request
from sync_pipelines.runtime.foreground import BusyError, claim, run_claimed
from sync_pipelines.runtime.postgres import discard
from sync_pipelines.runtime.waiting import wait_until
from tests.cli.conftest import Cli

SHOP = """\
tenant: acme
connections:
  db: {{connector: database, config: {{url: "{url}"}}}}
syncs:
  items:
    source: db
    destination: db
    dataset: copies
    streams: [{{name: items, write_mode: append}}]
    retry: {{max_attempts: 3, initial: {initial}, ceiling: 60s, jitter: 0}}
"""

IMPATIENT = "options=-clock_timeout%3D200ms"
"""Of a URL: whoever finds the items locked soon gives up, to try again later."""


class Shop:
    """A PostgreSQL with a table of a thousand items, and a sync that copies it."""

    def __init__(self, cli: Cli, catalog: Catalog, url: str) -> None:
        self.cli = cli
        self.url = url
        self.catalog = catalog
        with psycopg.connect(url) as connection:
            connection.execute("DROP SCHEMA IF EXISTS copies CASCADE")
            connection.execute("DROP TABLE IF EXISTS items")
            connection.execute("CREATE TABLE items (id int PRIMARY KEY, name text)")
            connection.execute("INSERT INTO items SELECT n, 'item' FROM generate_series(1, 1000) n")

    def apply(self, *, initial: str = "1s", options: str = "") -> None:
        mark = "&" if "?" in self.url else "?"
        url = self.url + (mark + options if options else "")
        self.cli.apply(SHOP.format(url=url, initial=initial))

    @contextmanager
    def locked(self) -> Iterator[psycopg.Connection]:
        """While it is locked, nobody can read the items; ended by a rollback."""
        with psycopg.connect(self.url) as connection:
            connection.execute("LOCK TABLE items IN ACCESS EXCLUSIVE MODE")
            yield connection

    @contextmanager
    def running(self, *command: str) -> Iterator["subprocess.Popen[str]"]:
        """A process that runs the sync, or another command, and is ended with the test."""
        command = command or ("run", "acme/items", "--json")
        process = subprocess.Popen(
            [sys.executable, "-m", "sync_pipelines.cli", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(os.environ),
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def run_as_dagster(self, attempt: int = 1) -> None:
        """What a Dagster run does with the sync's newest execution."""
        with self.catalog.begin() as db:
            newest = text("SELECT id FROM sync.sync_executions ORDER BY created_at DESC LIMIT 1")
            identity = db.scalar(newest)
        engine = Engine(catalog=self.catalog, rng=Random(1))
        engine.run(identity, attempt=attempt, run_id="a-dagster-run")

    def executions(self) -> list[tuple[str, int]]:
        with self.catalog.begin() as db:
            query = text("SELECT status, attempt FROM sync.sync_executions ORDER BY created_at")
            return [(row.status, row.attempt) for row in db.execute(query)]

    def wait_for(self, status: str, attempt: int = 1) -> None:
        found = wait_until(lambda: self.executions() == [(status, attempt)], seconds=30)
        assert found, self.executions()

    def copied(self) -> tuple[int, int]:
        """Rows in the copy, and different ones among them."""
        with psycopg.connect(self.url) as connection:
            row = connection.execute(
                "SELECT count(*), count(DISTINCT id) FROM copies.items"
            ).fetchone()
        assert row is not None
        return row


@pytest.fixture
def shop(cli: Cli, catalog: Catalog, postgres_url: str) -> Shop:
    return Shop(cli, catalog, postgres_url)


def test_postgres_to_postgres_is_passed_through_undecoded(shop: Shop) -> None:
    shop.apply()

    with shop.running() as process:
        out, _ = process.communicate(timeout=60)

    (stream,) = json.loads(out)["streams"]
    assert process.returncode == 0
    assert (stream["encoding"], stream["records_created"]) == ("pgcopy", 1000)
    assert stream["bytes"] > 0
    assert shop.copied() == (1000, 1000)


def test_a_run_whose_predecessor_was_killed_carries_its_execution_on(shop: Shop) -> None:
    """R63, R74: the dead one is settled at once, and nothing is copied twice."""
    shop.apply(initial="50s")
    with shop.locked(), shop.running() as process:
        shop.wait_for("running")
        process.kill()
        process.wait()
    assert shop.executions() == [("running", 1)]

    second = shop.cli("run", "acme/items", "--json")

    report = json.loads(second.stdout)
    assert (report["status"], report["attempt"]) == ("completed", 2)
    assert f"carrying on execution {report['execution']}, attempt 2" in second.stderr
    assert shop.executions() == [("completed", 2)]
    assert shop.copied() == (1000, 1000)


def test_another_request_does_not_take_over_what_waits_to_be_retried(shop: Shop) -> None:
    shop.apply(initial="50s")
    with shop.locked(), shop.running() as process:
        shop.wait_for("running")
        process.kill()
        process.wait()

    report = json.loads(shop.cli("run", "acme/items", "--full", "--json").stdout)

    assert (report["status"], report["attempt"]) == ("completed", 1)
    assert shop.executions() == [("pending", 2), ("completed", 1)]


def test_a_run_beside_a_living_one_says_which_and_since_when(shop: Shop) -> None:
    """R74."""
    shop.apply()
    with shop.running() as process:
        with shop.locked():
            shop.wait_for("running")
            failed = shop.cli("run", "acme/items", fails=1)
        out, _ = process.communicate(timeout=60)

    report = json.loads(out)
    assert f"execution {report['execution']} of acme/items is running since" in failed.stderr
    assert f":{process.pid}:" in failed.stderr
    assert process.returncode == 0
    assert shop.executions() == [("completed", 1)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_cancelled_cleanly(shop: Shop, number: signal.Signals) -> None:
    shop.apply()
    with shop.running() as process:
        with shop.locked():
            shop.wait_for("running")
            process.send_signal(number)
            wait_until(lambda: process.poll() is not None, seconds=10)
        out, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert json.loads(out)["status"] == "cancelled"
    assert "Traceback" not in err
    assert shop.executions() == [("cancelled", 1)]


def test_of_two_runs_that_begin_together_one_gives_way(shop: Shop) -> None:
    """R74."""
    shop.apply()
    engine = Engine(catalog=shop.catalog, rng=Random(1))
    with shop.catalog.begin() as db:
        sync = find_sync(db, shop.catalog.secrets, "acme/items")
    claimed = claim(engine, sync, Request())

    with shop.running() as process:
        with shop.locked():
            wait_until(lambda: ("running", 1) in shop.executions(), seconds=30)
            with pytest.raises(BusyError, match="another execution of acme/items is running"):
                run_claimed(engine, claimed)
        process.communicate(timeout=60)

    assert shop.executions() == [("cancelled", 1), ("completed", 1)]


def test_a_retry_is_waited_for_in_the_foreground_and_its_reason_is_told(shop: Shop) -> None:
    """R85."""
    shop.apply(initial="1s", options=IMPATIENT)
    with shop.running() as process:
        assert process.stderr is not None
        with shop.locked():
            told = next(line for line in process.stderr if "attempt 1 failed" in line)
        out, _ = process.communicate(timeout=60)

    assert "lock" in told
    assert "attempt 2 at " in told
    assert process.returncode == 0
    assert json.loads(out)["attempt"] == 2
    assert shop.copied() == (1000, 1000)


def test_a_retry_that_nobody_waits_for_any_more_is_cancelled(shop: Shop) -> None:
    shop.apply(initial="50s", options=IMPATIENT)
    with shop.locked(), shop.running() as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "attempt 1 failed" in line)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)

    assert process.returncode == 1
    assert json.loads(out)["status"] == "cancelled"
    assert shop.executions() == [("cancelled", 2)]


def test_a_retry_that_dagster_takes_up_meanwhile_is_followed_to_its_end(shop: Shop) -> None:
    shop.apply(initial="3s", options=IMPATIENT)
    with shop.running() as process:
        assert process.stderr is not None
        with shop.locked():
            next(line for line in process.stderr if "attempt 1 failed" in line)
        shop.run_as_dagster(attempt=2)
        out, err = process.communicate(timeout=60)

    assert "another process has taken the execution up" in err
    assert process.returncode == 0
    assert json.loads(out)["streams"][0]["records_created"] == 1000
    assert shop.executions() == [("completed", 2)]


def test_trigger_wait_follows_the_execution_to_its_end(shop: Shop) -> None:
    """R38, R109."""
    shop.apply()
    with shop.running("trigger", "acme/items", "--wait", "--json") as process:
        shop.wait_for("pending")
        shop.run_as_dagster()
        out, err = process.communicate(timeout=60)

    report = json.loads(out)
    assert process.returncode == 0
    assert (report["status"], report["streams"][0]["records_created"]) == ("completed", 1000)
    assert f"execution {report['execution']} waits for Dagster" in err


def test_whoever_stops_waiting_does_not_stop_the_execution(shop: Shop) -> None:
    shop.apply()
    with shop.running("trigger", "acme/items", "--wait") as process:
        shop.wait_for("pending")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "goes on, unwatched" in err
    assert shop.executions() == [("pending", 1)]


def test_trigger_wait_is_exit_code_1_when_the_execution_fails(shop: Shop) -> None:
    shop.apply()
    with psycopg.connect(shop.url) as connection:
        connection.execute("DROP TABLE items")
    with shop.running("trigger", "acme/items", "--wait", "--json") as process:
        shop.wait_for("pending")
        shop.run_as_dagster()
        out, _ = process.communicate(timeout=60)

    assert process.returncode == 1
    assert json.loads(out)["status"] == "failed"


def test_on_a_terminal_there_is_a_table_and_no_plain_progress(shop: Shop) -> None:
    """R117."""
    shop.apply()
    outside, inside = pty.openpty()

    done = subprocess.run(
        [sys.executable, "-m", "sync_pipelines.cli", "run", "acme/items"],
        stdout=inside,
        stderr=inside,
        env={**os.environ, "TERM": "xterm-256color"},
        timeout=60,
        check=False,
    )
    os.close(inside)
    shown = os.read(outside, 100_000).decode()
    os.close(outside)

    assert done.returncode == 0, shown
    assert "acme/items: completed in" in shown
    assert "items (1/1)" not in shown
    assert "\x1b[" in shown


def test_with_no_server_named_a_command_brings_its_own(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SYNC_DATABASE_URL")
    with tempfile.TemporaryDirectory(prefix="sync-cli-") as home:
        monkeypatch.setenv("SYNC_HOME", home)
        try:
            cli.apply("tenant: acme\nconnections: {}\nsyncs: {}\n")

            again = cli.apply("tenant: acme\nconnections: {}\nsyncs: {}\n")
        finally:
            discard(Path(home))

    assert again.stdout.splitlines() == ["= 1 unchanged"]

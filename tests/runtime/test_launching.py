"""What becomes of an execution when Dagster does not answer as it should.

The webserver's double speaks real HTTP: it gives the faults that a real Dagster cannot be
made to give. What Dagster itself answers is asked in tests/e2e/test_fast_path.py.
"""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from time import sleep

import pytest

from sync_pipelines.catalog import executions, heartbeats
from sync_pipelines.engine.dispatch import claim_now, trigger
from sync_pipelines.engine.run_tags import LAUNCH
from sync_pipelines.model.execution import Status
from sync_pipelines.runtime.launching import Answer, HandedOver, ask, hand_over
from sync_pipelines.runtime.waiting import wait_until
from sync_pipelines.runtime.watching import Watching
from sync_pipelines.runtime.webserver import STALE_AFTER, find_webserver, note_webserver
from sync_pipelines.settings import Settings
from tests.world import World, make_catalog

LAUNCHED = {"data": {"launchRun": {"__typename": "LaunchRunSuccess"}}}
UNAUTHORIZED = {"data": {"launchRun": {"__typename": "UnauthorizedError"}}}
BROKEN = (500, json.dumps({"data": {"launchRun": {"__typename": "PythonError"}}}))
"""As the real webserver says it: with a server error's status, and an answer of Dagster's."""
CUT = "cut"
SLOW = "slow"


def runs(*statuses):
    found = [{"status": status} for status in statuses]
    return {"data": {"runsOrError": {"__typename": "Runs", "results": found}}}


@pytest.fixture
def world(catalog_url):
    catalog = make_catalog(catalog_url)
    yield World(catalog)
    catalog.close()


@dataclass
class Double:
    """Gives prepared answers one after the other: a body, a status with a body, or a fault."""

    answers: list
    asked: list = field(default_factory=list)
    url: str = ""


@contextmanager
def dagster(*answers) -> Iterator[Double]:
    double = Double(list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            double.asked.append(json.loads(body))
            answer = double.answers.pop(0)
            if answer == SLOW:
                sleep(1)
            if answer in (CUT, SLOW):
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            status, content = answer if isinstance(answer, tuple) else (200, json.dumps(answer))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, *_):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        double.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield double
        server.shutdown()
        thread.join()


def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def ask_for(world):
    return trigger(world.catalog, world.sync(), now=world.clock())


def give(world, execution_id, url):
    return hand_over(world.catalog, execution_id, url=url, clock=world.clock)


def status_of(world, execution_id):
    with world.catalog.begin() as db:
        return executions.lock_for_all_tenants(db, execution_id).status


def test_dagster_is_asked_once_with_the_attempts_own_words(world):
    execution_id = ask_for(world)

    with dagster(LAUNCHED) as double:
        handed_over = give(world, execution_id, double.url)

    (asked,) = double.asked
    run = asked["variables"]["run"]
    tags = {tag["key"]: tag["value"] for tag in run["executionMetadata"]["tags"]}
    assert handed_over is HandedOver.AT_ONCE
    assert status_of(world, execution_id) is Status.QUEUED
    assert run["selector"]["jobName"] == "sync_database"
    assert tags["sync_pipelines/execution"] == str(execution_id)
    assert tags["dagster/partition"] == asked["variables"]["sync"] == "acme/orders"
    assert tags["dagster/run_key"] == tags[LAUNCH]


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([UNAUTHORIZED], id="an error that dagster names"),
        pytest.param([(400, "no such field")], id="another dagster's schema"),
        pytest.param([(404, "nothing here")], id="no dagster"),
        pytest.param([BROKEN, runs()], id="a failure before a run was made"),
    ],
)
def test_what_dagster_certainly_has_no_run_for_is_left_to_the_sensor(world, answers):
    execution_id = ask_for(world)

    with dagster(*answers) as double:
        handed_over = give(world, execution_id, double.url)

    assert handed_over is HandedOver.SENSOR
    assert status_of(world, execution_id) is Status.PENDING
    assert double.answers == []


def test_where_nobody_listens_it_is_left_to_the_sensor(world):
    execution_id = ask_for(world)

    handed_over = give(world, execution_id, f"http://127.0.0.1:{closed_port()}")

    assert handed_over is HandedOver.SENSOR
    assert status_of(world, execution_id) is Status.PENDING


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([CUT], id="cut after it was received"),
        pytest.param([(500, "")], id="a server error"),
        pytest.param([(504, "the gateway gave up")], id="a proxy that gave up"),
        pytest.param([BROKEN, CUT], id="a failure, and then none to ask how far it came"),
        pytest.param([BROKEN, BROKEN], id="a failure, and one more"),
        pytest.param([BROKEN, runs("NOT_STARTED")], id="a run that was made but not queued"),
        pytest.param([(200, "<html>"), (200, "<html>")], id="not dagster"),
    ],
)
def test_in_doubt_it_stays_claimed_so_that_nobody_asks_a_second_time(world, answers):
    execution_id = ask_for(world)

    with dagster(*answers) as double:
        handed_over = give(world, execution_id, double.url)

    assert handed_over is HandedOver.SENSOR
    assert status_of(world, execution_id) is Status.QUEUED
    assert double.answers == []


def test_an_answer_that_takes_too_long_is_not_waited_for(world):
    launch = claim_now(world.catalog, ask_for(world), world.clock())

    with dagster(SLOW) as double:
        answer = ask(double.url, launch, answer_seconds=0.2)

    assert answer is Answer.UNKNOWN


@pytest.mark.parametrize("status", ["QUEUED", "STARTED", "SUCCESS"])
def test_a_failure_after_the_run_was_queued_is_a_hand_over(world, status):
    execution_id = ask_for(world)

    with dagster(BROKEN, runs(status)) as double:
        handed_over = give(world, execution_id, double.url)

    asked = double.asked[1]["variables"]
    assert handed_over is HandedOver.AT_ONCE
    assert asked["key"] == LAUNCH
    assert status_of(world, execution_id) is Status.QUEUED


def test_dagster_is_not_asked_for_what_has_to_wait(world):
    first = ask_for(world)
    claim_now(world.catalog, first, world.clock())
    second = ask_for(world)

    with dagster() as double:
        handed_over = give(world, second, double.url)

    assert handed_over is HandedOver.SENSOR
    assert double.asked == []


def test_without_a_webserver_it_waits_for_the_sensor(world):
    execution_id = ask_for(world)

    assert give(world, execution_id, None) is HandedOver.SENSOR
    assert status_of(world, execution_id) is Status.PENDING


# --- where the webserver is ----------------------------------------------------------


def found(world, monkeypatch, *, setting=None):
    monkeypatch.delenv("SYNC_DAGSTER_URL", raising=False)
    if setting:
        monkeypatch.setenv("SYNC_DAGSTER_URL", setting)
    with world.catalog.begin() as db:
        return find_webserver(db, Settings(), world.clock())


def test_word_of_the_webserver_holds_for_two_minutes(world, monkeypatch):
    never = found(world, monkeypatch)
    with world.catalog.begin() as db:
        note_webserver(db, "http://127.0.0.1:3001", world.clock())
    world.clock.advance(seconds=STALE_AFTER.total_seconds())
    fresh = found(world, monkeypatch)
    world.clock.advance(seconds=1)

    assert timedelta(minutes=2) == STALE_AFTER
    assert never is None
    assert fresh == "http://127.0.0.1:3001"
    assert found(world, monkeypatch) is None


def test_the_setting_goes_before_what_the_catalog_says(world, monkeypatch):
    with world.catalog.begin() as db:
        note_webserver(db, "http://127.0.0.1:3001", world.clock())

    url = found(world, monkeypatch, setting="https://dagster.example.com/prod/")

    assert url == "https://dagster.example.com/prod"


def test_the_watch_leaves_word_at_its_first_look_and_takes_it_back_at_its_end(
    world, monkeypatch, catalog_url
):
    url = "http://127.0.0.1:3001"

    def open_it():
        return make_catalog(catalog_url)

    with Watching(open_it, print, clock=world.clock, every_seconds=60, url=url):
        assert wait_until(lambda: found(world, monkeypatch) == url, seconds=10)

    assert found(world, monkeypatch) is None
    with world.catalog.begin() as db:
        assert heartbeats.read(db, "webserver") is not None

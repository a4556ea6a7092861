"""A trigger that asks Dagster itself: how fast, how often, and who finishes what it leaves."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from statistics import median
from threading import Event

import httpx
import psutil
import pytest
from dagster import DagsterRun

from sync_pipelines.catalog.secrets import SecretBox, load_keys
from sync_pipelines.catalog.store import open_catalog
from sync_pipelines.catalog.syncs import find_sync
from sync_pipelines.engine.dispatch import LOST_AFTER, claim_now, trigger
from sync_pipelines.engine.run_tags import LAUNCH, job_name, tags_for_the_sensor
from sync_pipelines.runtime.launching import Answer, ask
from sync_pipelines.runtime.storage import CatalogStorage
from sync_pipelines.runtime.waiting import wait_until

pytestmark = [
    pytest.mark.long,
    pytest.mark.processes,
    pytest.mark.timeout(400),
    pytest.mark.xdist_group("installation"),
]

SYNC = "swift/items"

MANIFEST = """
tenant: swift
connections:
  shop: {connector: database, config: {url: "${env:SHOP_URL}"}}
  warehouse: {connector: database, config: {url: "${env:WAREHOUSE_URL}"}}
syncs:
  items:
    source: shop
    destination: warehouse
    dataset: swift
    streams: [public.swift_items]
"""

RUNS = """
query Runs($value: String!) {
  runsOrError(filter: {tags: [{key: "sync_pipelines/execution", value: $value}]}) {
    ... on Runs { results { runId status tags { key value } } }
  }
}
"""


@pytest.fixture(scope="module")
def items(installation):
    """A sync that was made a moment ago."""
    installation.sql(
        "shop", "CREATE TABLE swift_items (id int); INSERT INTO swift_items VALUES (1)"
    )
    wait_until(lambda: word_of_webserver(installation), seconds=30)
    installation.apply(MANIFEST)
    return installation


@pytest.fixture(scope="module")
def catalog(items):
    box = SecretBox(load_keys(items.home, None))
    opened = open_catalog(items.server.url("sync_pipelines"), box)
    yield opened
    opened.close()


@pytest.fixture
def lost(catalog):
    """A hand-over that was made three minutes ago; whoever was to ask Dagster has died."""
    return claimed(catalog, datetime.now(UTC) - LOST_AFTER - timedelta(minutes=1))


def claimed(catalog, at):
    with catalog.begin() as db:
        sync = find_sync(db, catalog.secrets, SYNC)
    launch = claim_now(catalog, trigger(catalog, sync, now=at), at)
    assert launch is not None
    return launch


def triggered_at_once(installation):
    """An execution that the sensor has not been faster to claim, as it may be now and then."""
    for _ in range(3):
        made = installation.json("trigger", SYNC)
        if made["handed_over"] == "at_once":
            return made["execution"]
        ended(installation, made["execution"])
    raise AssertionError("\n".join(installation.lines[-60:]))


def word_of_webserver(installation):
    return installation.sql(
        "sync_pipelines", "SELECT FROM sync.heartbeats WHERE name = 'webserver' AND detail ? 'url'"
    )


def kill_webserver(installation):
    """SIGKILL; `up` starts another."""
    for process in psutil.process_iter(["cmdline", "environ"]):
        words, environment = process.info["cmdline"] or [], process.info["environ"] or {}
        is_ours = environment.get("SYNC_HOME") == str(installation.home.resolve())
        if is_ours and "dagster_webserver" in words and not any("tether" in w for w in words):
            process.kill()
            process.wait(20)
            return
    raise AssertionError("there is no webserver")


def answers(installation):
    try:
        return httpx.get(f"{installation.dagster_url}/server_info", timeout=5).is_success
    except httpx.TransportError:
        return False


def runs_of(installation, execution_id):
    found = installation.graphql(RUNS, {"value": str(execution_id)})["runsOrError"]["results"]
    return [
        {**run, "tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in found
    ]  # fmt: skip


def ended(installation, execution_id):
    """The execution's row, once its run has ended too."""
    columns = "status, attempt, run_id, created_at, started_at, completed_at"
    query = f"SELECT {columns} FROM sync.sync_executions WHERE id = '{execution_id}'"

    def is_over():
        status = installation.sql("sync_pipelines", query)[0][0]
        states = {run["status"] for run in runs_of(installation, execution_id)}
        return status == "completed" and states == {"SUCCESS"}

    assert wait_until(is_over, seconds=90), "\n".join(installation.lines[-60:])
    return installation.sql("sync_pipelines", query)[0]


def test_a_trigger_is_in_dagsters_queue_at_once_though_the_sync_is_new(items):
    """R38. No turn of the sensor has made its partition before."""
    execution_id = triggered_at_once(items)

    status, attempt, run_id, *_ = ended(items, execution_id)
    (run,) = runs_of(items, execution_id)
    assert (status, attempt, run_id) == ("completed", 1, run["runId"])


def test_five_triggers_start_within_a_second_or_so_with_one_run_each(items):
    ways, waits, whole = [], [], []
    for _ in range(5):
        made = items.json("trigger", SYNC)
        *_, created_at, started_at, completed_at = ended(items, made["execution"])
        waits.append((started_at - created_at).total_seconds())
        whole.append((completed_at - created_at).total_seconds())
        ways.append(made["handed_over"])
        assert len(runs_of(items, made["execution"])) == 1

    print(f"trigger to started {waits}, median {median(waits):.2f} s")
    print(f"trigger to completed {whole}, median {median(whole):.2f} s")
    assert ways.count("at_once") > 2
    assert median(waits) < 4  # the sensor alone takes this long


def test_a_hand_over_whose_maker_died_before_asking_is_finished_by_the_sensor(items, lost):
    _, attempt, run_id, *_ = ended(items, lost.execution_id)

    (run,) = runs_of(items, lost.execution_id)
    assert (attempt, run_id) == (1, run["runId"])
    assert run["tags"][LAUNCH] == lost.key


def test_a_run_asked_for_at_once_bears_what_the_sensors_run_bears(items, lost):
    """By its run key and its name the daemon takes it for the sensor's: it makes no second."""
    ended(items, lost.execution_id)
    at_once = triggered_at_once(items)
    ended(items, at_once)

    (by_sensor,) = runs_of(items, lost.execution_id)
    (by_trigger,) = runs_of(items, at_once)
    assert by_trigger["tags"]["dagster/run_key"] == by_trigger["tags"][LAUNCH]
    assert by_sensor["tags"]["dagster/run_key"] == by_sensor["tags"][LAUNCH]
    assert by_trigger["tags"].keys() >= by_sensor["tags"].keys() - {"dagster/tick"}
    for name in ("dagster/sensor_name", "dagster/partition", "dagster/partition_set", "tenant"):
        assert by_trigger["tags"][name] == by_sensor["tags"][name]


def test_a_request_that_dagster_answers_minutes_late_moves_nothing(items, lost):
    """The sensor has asked meanwhile: the attempt has run, and does not run again."""
    before = ended(items, lost.execution_id)

    answer = ask(items.dagster_url, lost)

    after = ended(items, lost.execution_id)
    assert answer is Answer.LAUNCHED  # it has a run, whoever asked for it
    assert after == before
    assert len(runs_of(items, lost.execution_id)) == 1


def test_a_request_that_is_sent_twice_makes_one_run(items, catalog):
    """As a proxy may do that repeats what it got no answer to."""
    launch = claimed(catalog, datetime.now(UTC))

    answers = [ask(items.dagster_url, launch) for _ in range(2)]

    _, attempt, run_id, *_ = ended(items, launch.execution_id)
    runs = runs_of(items, launch.execution_id)
    assert answers == [Answer.LAUNCHED, Answer.LAUNCHED]
    assert attempt == 1
    assert [run["runId"] for run in runs] == [run_id]


def test_a_run_that_was_made_but_never_queued_is_unmade_and_made_again(items, lost):
    """The webserver, or the daemon, died between the two."""
    half = DagsterRun(job_name=job_name(lost.connector), tags=dict(tags_for_the_sensor(lost)))
    storage = CatalogStorage(items.server.url("sync_pipelines"))
    storage.run_storage.add_run(half)
    storage.close()

    _, attempt, run_id, *_ = ended(items, lost.execution_id)

    (run,) = runs_of(items, lost.execution_id)
    assert (attempt, run_id) == (1, run["runId"])
    assert run["runId"] != half.run_id


def test_whoever_asks_while_the_sensor_does_there_is_one_run(items, lost):
    """Law 2: three ask again and again from before the sensor's turn until after it."""
    over = Event()

    def go_on_asking():
        while not over.is_set():
            ask(items.dagster_url, lost)

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(go_on_asking) for _ in range(3)]
        try:
            _, attempt, run_id, *_ = ended(items, lost.execution_id)
        finally:
            over.set()
        for one in asking:
            one.result()

    (run,) = runs_of(items, lost.execution_id)
    assert (attempt, run_id) == (1, run["runId"])


@pytest.mark.parametrize("after_seconds", [0.02, 0.08, 0.2])
def test_a_webserver_killed_while_it_is_asked_leaves_one_run(items, lost, after_seconds):
    """Wherever in its work that hits it: before the run, between run and queue, after both."""
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask, items.dagster_url, lost)
        time.sleep(after_seconds)  # waits for nothing: when it is killed is what is tried
        kill_webserver(items)
        asking.result()
    assert wait_until(lambda: answers(items), seconds=60, every=0.5)

    _, attempt, run_id, *_ = ended(items, lost.execution_id)

    (run,) = runs_of(items, lost.execution_id)
    assert (attempt, run_id) == (1, run["runId"])


def test_dagster_refuses_what_it_does_not_know(items, lost):
    """An answer of the real webserver, so that the double's are not the only ones read."""
    assert ask(items.dagster_url, replace(lost, connector="unheard")) is Answer.REFUSED
    assert ask(f"{items.dagster_url}/nowhere", lost) is Answer.REFUSED
    assert httpx.get(f"{items.dagster_url}/server_info").is_success
    ended(items, lost.execution_id)

"""A run that was asked for in the sensor's place, as Dagster's daemon sees it."""

from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._daemon.sensor import fetch_existing_runs

from sync_pipelines.defs.tags import run_request
from sync_pipelines.engine.dispatch import claim_now, trigger
from sync_pipelines.engine.run_tags import tags_for_the_sensor
from sync_pipelines.engine.signs import DISPATCH_EVENTS
from tests.world import World, make_catalog


@pytest.fixture
def launch(catalog_url):
    catalog = make_catalog(catalog_url)
    world = World(catalog)
    execution_id = trigger(catalog, world.sync(), now=world.clock())
    yield claim_now(catalog, execution_id, world.clock())
    catalog.close()


@dg.job
def nothing():
    """Stands for any job."""


def test_when_the_sensor_asks_for_the_same_attempt_the_daemon_finds_the_run_there_is(launch):
    """What keeps a hand-over that is found lost too early from having two runs."""
    sensor: Any = SimpleNamespace(name=DISPATCH_EVENTS)
    with dg.instance_for_test() as instance:
        tags = dict(tags_for_the_sensor(launch))
        run = instance.create_run_for_job(nothing, tags=tags, status=dg.DagsterRunStatus.STARTED)

        found = fetch_existing_runs(instance, sensor, [run_request(launch)])

    assert {key: one.run_id for key, one in found.items()} == {launch.key: run.run_id}

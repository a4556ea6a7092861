"""The job that tells digests and looks for alerts, as its schedule starts it."""

from random import Random

import dagster as dg
import pytest

from sync_pipelines.definitions import defs
from sync_pipelines.defs import resources
from sync_pipelines.engine.run import Engine
from sync_pipelines.model.execution import Status
from sync_pipelines.model.notification import Topic
from tests.engine.settling import run
from tests.notify.conftest import Told
from tests.world import World, make_catalog


@pytest.fixture
def told(catalog_url, monkeypatch):
    catalog = make_catalog(catalog_url)
    made = Told(World(catalog))
    engine = Engine(catalog=catalog, clock=made.clock, rng=Random(1))
    monkeypatch.setattr(resources, "_engine", lambda: engine)
    yield made
    catalog.close()


def test_one_run_tells_digests_that_are_due_and_opens_alerts(told):
    """R101, R124."""
    rule = told.rule(topics=(Topic.DIGEST, Topic.ALERT))
    for _ in range(5):
        run(told.world, told.sync(), Status.FAILED)
    told.clock.advance(days=1)

    with dg.instance_for_test() as instance:
        request = defs.resolve_schedule_def("tell_notices").evaluate_tick(
            dg.build_schedule_context(instance, scheduled_execution_time=told.clock())
        )
        result = defs.resolve_job_def("notices").execute_in_process(instance=instance)

    assert len(request.run_requests) == 1
    assert result.success
    assert set(told.topics(rule)) == {Topic.DIGEST, Topic.ALERT}

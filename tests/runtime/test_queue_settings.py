"""What docs/decisions/006-queue-settings.md says of Dagster's settings is so."""

import inspect
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from dagster._core.instance.config import dagster_instance_config
from dagster._core.instance.ref import InstanceRef
from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator
from dagster._daemon.auto_run_reexecution import event_log_consumer
from dagster._daemon.daemon import IntervalDaemon
from dagster._daemon.run_coordinator import queued_run_coordinator_daemon
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import (
    QueuedRunCoordinatorDaemon,
)

from sync_pipelines.defs.sensors import SECONDS_BETWEEN_LOOKS
from sync_pipelines.engine.dispatch import LOST_AFTER
from sync_pipelines.runtime import launching
from sync_pipelines.runtime.services import RUN_STATUS_EVENTS_PER_TICK

ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings(tmp_path):
    """As the pinned Dagster reads them."""
    shutil.copy(ROOT / "dagster.yaml", tmp_path / "dagster.yaml")
    return dagster_instance_config(str(tmp_path))[0]


def test_the_queue_is_looked_at_after_one_rest_and_launches_eight_at_a_time(tmp_path, monkeypatch):
    """The daemon pauses by rests of half a second until its interval is over."""
    shutil.copy(ROOT / "dagster.yaml", tmp_path / "dagster.yaml")
    monkeypatch.setenv("SYNC_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    queue = InstanceRef.from_dir(str(tmp_path)).run_coordinator
    assert isinstance(queue, QueuedRunCoordinator)

    daemon = QueuedRunCoordinatorDaemon(interval_seconds=queue.dequeue_interval_seconds)

    assert 0 < daemon.interval_seconds < 0.5
    assert "shutdown_event.wait(0.5)" in inspect.getsource(IntervalDaemon.core_loop)
    assert (queue.dequeue_use_threads, queue.dequeue_num_workers) == (True, 8)


@pytest.mark.parametrize("kind", ["schedules", "sensors"])
def test_ticks_and_the_runs_they_ask_for_are_done_eight_at_a_time(settings, kind):
    assert settings[kind] == {"use_threads": True, "num_workers": 8, "num_submit_workers": 8}


def test_what_is_left_as_dagster_has_it_is_still_so():
    assert queued_run_coordinator_daemon.PAGE_SIZE == 100
    assert event_log_consumer._INTERVAL_SECONDS == 5
    assert (SECONDS_BETWEEN_LOOKS, RUN_STATUS_EVENTS_PER_TICK) == (5, "200")


def test_who_asks_gives_up_long_before_the_sensor_looks_and_that_before_dagster_does(settings):
    asking = timedelta(seconds=2 * (launching.CONNECT_SECONDS + launching.ANSWER_SECONDS))
    monitoring = settings["run_monitoring"]

    assert 4 * asking < LOST_AFTER
    assert timedelta(seconds=monitoring["start_timeout_seconds"]) > LOST_AFTER
    assert monitoring["free_slots_after_run_end_seconds"] == 30

"""What `dagster.yaml` says, Dagster has understood."""

import shutil
from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance
from dagster._core.instance.config import dagster_instance_config

from tests.runtime.dagster_jobs import DAGSTER_YAML


def test_every_key_of_dagster_yaml_is_known_to_the_pinned_dagster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    shutil.copy(DAGSTER_YAML, tmp_path / "dagster.yaml")

    value, _ = dagster_instance_config(str(tmp_path))

    written = yaml.safe_load(DAGSTER_YAML.read_text())
    assert set(written) <= set(value)


def test_limits_of_dagster_yaml_reach_the_instance(instance: DagsterInstance):
    queue = instance.get_concurrency_config().run_queue_config

    assert queue is not None
    assert queue.max_concurrent_runs == 15
    assert queue.tag_concurrency_limits == [
        {"key": "tenant", "value": {"applyLimitPerUniqueValue": True}, "limit": 5}
    ]
    assert instance.run_monitoring_enabled
    assert instance.run_retries_enabled
    assert instance.run_retries_max_retries == 0
    assert not instance.telemetry_enabled


def test_the_packaged_dagster_yaml_is_the_one_at_the_top():
    packaged = DAGSTER_YAML.parent / "sync_pipelines/runtime/dagster.yaml"

    assert packaged.is_symlink()
    assert packaged.resolve() == DAGSTER_YAML

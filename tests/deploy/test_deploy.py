"""What deploy/ says is so: Dagster accepts each configuration, and the files agree."""

import re
import runpy
import shlex
from pathlib import Path

import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config
from dagster._core.instance.ref import InstanceRef
from dagster_celery.launcher import CeleryRunLauncher

from sync_pipelines.runtime.warm.launcher import WarmRunLauncher
from sync_pipelines.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
WAYS = ("one-host", "kubernetes", "celery")

CHART_KEYS = {
    "global": {"serviceAccountName"},
    "dagster-user-deployments": {"enabled", "deployments"},
    "dagsterWebserver": {"image", "env", "envSecrets", "volumes", "volumeMounts"},
    "dagsterDaemon": {"image", "env", "envSecrets", "volumes", "volumeMounts"},
    "postgresql": {"enabled", "postgresqlHost", "service"},
    "runLauncher": {"type"},
    "telemetry": {"enabled"},
}
"""Of the chart's values those we set, read from its values.yaml. Its schema is not published
as a package, so that a test cannot fetch it."""


def settings_of(way):
    return yaml.safe_load((DEPLOY / way / "dagster.yaml").read_text())


def environment_of(path):
    lines = [line for line in path.read_text().splitlines() if re.match(r"#?[A-Z_]+=", line)]
    return dict(line.lstrip("#").split("=", 1) for line in lines)


@pytest.mark.parametrize("way", WAYS)
def test_dagster_knows_every_key(way):
    config, custom_class = dagster_instance_config(str(DEPLOY / way))

    assert custom_class is None
    assert config["storage"]["custom"]["class"] == "CatalogStorage"


@pytest.mark.parametrize("way", WAYS)
def test_only_launcher_and_limits_differ_from_one_host(way):
    ours, one_host = settings_of(way), settings_of("one-host")

    for key in ("run_launcher", "concurrency", "run_monitoring"):
        assert ours.pop(key).keys() == one_host.pop(key).keys() or key == "run_launcher"

    for found in (ours, one_host):
        found.pop("compute_logs", None)  # how a forked run's output is kept
    assert ours == one_host


def test_the_launcher_of_one_host_is_the_warm_one(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNC_HOME", str(tmp_path))

    launcher = InstanceRef.from_dir(str(DEPLOY / "one-host")).run_launcher

    assert isinstance(launcher, WarmRunLauncher)


def test_celery_takes_the_launchers_configuration(monkeypatch):
    for name, value in environment_of(DEPLOY / "celery" / ".env.example").items():
        monkeypatch.setenv(name, value)

    launcher = InstanceRef.from_dir(str(DEPLOY / "celery")).run_launcher

    assert isinstance(launcher, CeleryRunLauncher)
    assert launcher.celery.conf.result_backend.startswith("redis://")
    workers = runpy.run_path(str(DEPLOY / "celery" / "dagster_celery_config.py"))
    assert launcher.celery.conf.result_expires == workers["result_expires"]
    assert launcher.celery.conf.broker_url == workers["broker_url"]


def test_kubernetes_takes_the_launchers_configuration():
    """The client of Kubernetes is 100 MB, and no part of the development environment."""
    pytest.importorskip("dagster_k8s", reason="the extra 'kubernetes' is not installed")
    from dagster._config import process_config
    from dagster_k8s import K8sRunLauncher  # type: ignore[import-not-found]

    checked = process_config(
        K8sRunLauncher.config_type(), settings_of("kubernetes")["run_launcher"]["config"]
    )

    assert checked.success, checked.errors


def test_the_charts_values_have_its_keys_and_agree_with_the_configuration():
    values = yaml.safe_load((DEPLOY / "kubernetes" / "values.yaml").read_text())
    launcher = settings_of("kubernetes")["run_launcher"]["config"]

    assert {name: set(part) for name, part in values.items()} == CHART_KEYS
    assert values["global"]["serviceAccountName"] == launcher["service_account_name"]
    for part in (values["dagsterWebserver"], values["dagsterDaemon"]):
        home = {one["name"]: one["value"] for one in part["env"]}["DAGSTER_HOME"]
        assert home == launcher["dagster_home"]
        assert part["volumeMounts"][0]["mountPath"] == f"{home}/dagster.yaml"
        assert part["volumes"][0]["configMap"]["name"] == launcher["instance_config_map"]
        assert [one["name"] for one in part["envSecrets"]] == launcher["env_secrets"]


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob(".env.example")), ids=lambda p: p.parent.name)
def test_every_setting_of_an_environment_exists(path):
    known = {f"SYNC_{name.upper()}" for name in Settings.model_fields}

    assert {name for name in environment_of(path) if name.startswith("SYNC_")} <= known


def test_the_files_that_the_readme_names_are_there():
    text = (DEPLOY / "README.md").read_text()
    named = re.findall(r"\]\(([^)]+)\)", text)
    named += [f"../{path}" for path in re.findall(r"(?<![\w/-])deploy/[\w./-]+", text)]
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)

    assert named
    assert [path for path in named if not (DEPLOY / path).exists()] == []
    assert all(shlex.split(block, comments=True) for block in blocks)


def test_the_celery_worker_and_readme_start_it_as_the_test_does():
    unit = (DEPLOY / "celery" / "sync-pipelines-worker.service").read_text()
    cluster = (Path(__file__).parent / "cluster.py").read_text()

    for word in ("dagster_celery.app", "--queues", "--concurrency", "--hostname"):
        assert word in unit
        assert f'"{word}"' in cluster

"""What deploy/ says is so: Dagster accepts each configuration, and the files agree."""

import re
import runpy
import shlex
from pathlib import Path

import pytest
import yaml
from dagster import DagsterRun
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
"""Of the chart's values those we set. They were compared by hand with the chart's schema, which
is not published as a package, so that a test cannot fetch it."""
DEPLOYMENT_KEYS = {
    "name",
    "image",
    "dagsterApiGrpcArgs",
    "port",
    "env",
    "envSecrets",
    "includeConfigInLaunchedRuns",
}
"""Of the values of one deployment, likewise; the first four are required."""


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


@pytest.fixture
def kubernetes_launcher(tmp_path):
    """The launcher of our file, for a cluster that is not there: it is asked for no answer.

    Its client is 100 MB, and no part of the development environment.
    """
    pytest.importorskip("dagster_k8s", reason="the extra 'kubernetes' is not installed")
    from dagster._config import process_config
    from dagster_k8s import K8sRunLauncher  # type: ignore[import-not-found]

    checked = process_config(
        K8sRunLauncher.config_type(), settings_of("kubernetes")["run_launcher"]["config"]
    )
    assert checked.success, checked.errors
    nowhere = tmp_path / "kubeconfig"
    nowhere.write_text(yaml.safe_dump(NO_CLUSTER))
    outside = {"load_incluster_config": False, "kubeconfig_file": str(nowhere)}
    return K8sRunLauncher.from_config_value(None, {**(checked.value or {}), **outside})


NO_CLUSTER = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "none", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "nobody", "user": {}}],
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "nobody"}}],
    "current-context": "none",
}


def test_kubernetes_gives_a_run_a_pod_with_its_secrets_and_limits(kubernetes_launcher):
    """The job as it would be sent to a cluster, of the client's own types.

    It mounts no dagster.yaml: what that says is handed to the run in its arguments, and the
    secrets that it names are in the pod's environment.
    """
    from dagster_k8s.container_context import K8sContainerContext  # type: ignore[import-not-found]
    from dagster_k8s.job import construct_dagster_k8s_job  # type: ignore[import-not-found]

    ours = settings_of("kubernetes")["run_launcher"]["config"]
    context = K8sContainerContext.create_for_run(
        DagsterRun(job_name="sync_database"), kubernetes_launcher, include_run_tags=False
    )
    job = construct_dagster_k8s_job(
        context.get_k8s_job_config("registry.example.com/sync-pipelines", kubernetes_launcher),
        ["dagster", "api", "execute_run"],
        "job",
        user_defined_k8s_config=context.run_k8s_config,
    )

    pod = job.spec.template.spec
    (container,) = pod.containers
    assert [one.secret_ref.name for one in container.env_from] == ours["env_secrets"]
    environment = {one.name: one.value for one in container.env}
    assert environment["DAGSTER_HOME"] == ours["dagster_home"]
    assert environment["SYNC_LOG_FORMAT"] == "json"
    assert container.resources.limits == {"memory": "1Gi"}
    assert pod.service_account_name == ours["service_account_name"]
    assert job.spec.ttl_seconds_after_finished == 3600
    assert context.namespace == ours["job_namespace"]


def test_the_charts_values_have_its_keys_and_agree_with_the_configuration():
    values = yaml.safe_load((DEPLOY / "kubernetes" / "values.yaml").read_text())
    launcher = settings_of("kubernetes")["run_launcher"]["config"]

    assert {name: set(part) for name, part in values.items()} == CHART_KEYS
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    assert set(deployment) == DEPLOYMENT_KEYS
    assert set(deployment["image"]) == {"repository", "tag", "pullPolicy"}
    assert values["global"]["serviceAccountName"] == launcher["service_account_name"]
    for part in (values["dagsterWebserver"], values["dagsterDaemon"]):
        home = {one["name"]: one["value"] for one in part["env"]}["DAGSTER_HOME"]
        assert home == launcher["dagster_home"]
        assert part["volumeMounts"][0]["mountPath"] == f"{home}/dagster.yaml"
        assert part["volumes"][0]["configMap"]["name"] == launcher["instance_config_map"]
        assert [one["name"] for one in part["envSecrets"]] == launcher["env_secrets"]


def test_the_image_has_a_dagster_home_that_its_user_may_write_to():
    """Where what a run prints is captured: Dagster makes the directories below, as that user."""
    launcher = settings_of("kubernetes")["run_launcher"]["config"]
    lines = (DEPLOY / "kubernetes" / "Dockerfile").read_text().splitlines()
    (user,) = (line.split()[1] for line in lines if line.startswith("USER"))

    assert f"RUN install --directory --owner={user} {launcher['dagster_home']}" in lines


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

"""How long Dagster's daemon takes to put runs into its queue: one sensor asks for all of them."""

import os
from pathlib import Path

import yaml
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.scheduler.instigation import TickStatus

from benchmarks.running import MODULE, prepare, process
from benchmarks.task import Measure, Task, peak_mb
from benchmarks.trivial import CROWD
from sync_pipelines.runtime.waiting import wait_until

PATIENCE_SECONDS = 300.0


def queued(task: Task) -> Measure:
    """From the beginning of the sensor's tick to its end; nothing is started meanwhile."""
    environment = {**prepare(task, most_runs=0), CROWD: str(task.due)}
    home = Path(task.destination)
    code = home / "code.sock"
    os.environ |= environment
    server = {"socket": str(code), "location_name": "trivial"}
    workspace = home / "workspace.yaml"
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
    serve = ["dagster", "api", "grpc", "--socket", str(code), "--module-name", MODULE]
    daemon = ["dagster._daemon", "run", "--workspace", str(workspace)]
    with (
        process([*serve, "--location-name", "trivial"], code.exists, environment),
        DagsterInstance.get() as instance,
        process(daemon, lambda: True, environment),
    ):
        if not wait_until(
            lambda: _taken(instance) is not None, seconds=PATIENCE_SECONDS, every=0.2
        ):
            raise RuntimeError(f"the sensor has not asked for {task.due} runs")
        seconds = _taken(instance) or 0.0
        waiting = instance.get_runs_count(RunsFilter(statuses=[DagsterRunStatus.QUEUED]))
        if waiting != task.due:
            raise RuntimeError(f"{waiting} runs are queued, not {task.due}")
    per_thousand = seconds / task.due * 1000
    return Measure(
        seconds=seconds,
        cpu_seconds=0.0,
        peak_mb=peak_mb(),
        figures={"1,000 runs queued, s": per_thousand},
    )


def _taken(instance: DagsterInstance) -> float | None:
    """Seconds of the sensor's first tick; None while it has not ended."""
    for state in instance.all_instigator_state():
        ticks = instance.get_ticks(
            state.instigator_origin_id, state.selector_id, statuses=[TickStatus.SUCCESS]
        )
        if ticks and ticks[-1].end_timestamp is not None:
            return float(ticks[-1].end_timestamp - ticks[-1].timestamp)
    return None

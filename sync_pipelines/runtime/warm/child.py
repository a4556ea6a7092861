"""What a forked process does: carry out one run, or tell Dagster that one has died."""

import ctypes
import os
import random
import signal
import sys
import traceback
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._cli.api import _execute_run_command_body, _resume_run_command_body
from dagster._core.instance.ref import InstanceRef
from dagster._utils.interrupts import capture_interrupts, setup_interrupt_handlers

from sync_pipelines.engine.run_tags import EXECUTION

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def become(work: Callable[[], int], *, parent: int) -> NoReturn:
    """Do the work as a process of its own, and end with the code that it returns.

    It dies with its parent: no run goes on that nobody looks after.
    """
    code = 1
    try:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        random.seed()
        code = work()
    except BaseException:  # The process ends here: there is nobody to raise it to.
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def settings() -> InstanceRef:
    """Dagster's settings as dagster.yaml has them now, which is read only where it has changed."""
    home = os.environ["DAGSTER_HOME"]
    return _settings(home, (Path(home) / "dagster.yaml").stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _settings(home: str, _changed_at: int) -> InstanceRef:
    return InstanceRef.from_dir(home)


def carry_out(run_id: str, *, resume: bool) -> int:
    """Run it, as Dagster's own command for a run does; 0 unless it failed."""
    setup_interrupt_handlers()
    body = _resume_run_command_body if resume else _execute_run_command_body
    with capture_interrupts(), DagsterInstance.from_ref(settings()) as instance:
        return body(run_id, instance, lambda _: None, True)


def bury(run_id: str, said: str) -> int:
    """Fail a run whose process has died, unless it had ended by itself before, or may go on."""
    with DagsterInstance.from_ref(settings()) as instance:
        run = instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished and not _may_go_on(instance, run):
            instance.report_run_failed(run, said)
    return 0


def _may_go_on(instance: DagsterInstance, run: DagsterRun) -> bool:
    """Whether Dagster's run monitoring is to give it another process.

    Never that of an attempt: the engine retries it, from what was committed, and at once.
    """
    most = instance.run_monitoring_max_resume_run_attempts
    if not (most and instance.run_monitoring_enabled) or EXECUTION in run.tags:
        return False
    from dagster._daemon.monitoring import count_resume_run_attempts  # imports grpc

    is_under_way = run.status is DagsterRunStatus.STARTED
    return is_under_way and count_resume_run_attempts(instance, run.run_id) < most

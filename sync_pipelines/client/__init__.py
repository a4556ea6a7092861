"""A client of the gateway's API for Python programs.

::

    with Client("https://sync.example.com", token="sync_…") as sync:
        schedule = sync.schedules.create(sync="orders", name="nightly",
                                         cadence={"type": "daily", "at": "02:00"})
        started = sync.schedules.trigger(schedule.id)
        done = sync.executions.wait(started.execution_id)

Errors, by what to do next::

    SyncError
    ├── ApiError               the gateway refused; ``status``, ``detail``, ``errors``
    │   ├── NotFoundError      404
    │   ├── ConflictError      409: it cannot stand beside what there is
    │   └── ChangedError       412: somebody changed it since; look again
    └── UnreachableError       no answer, also after trying again

Laws:

* What is tried again was refused before it was done (429, 503), or may safely be done
  twice: each POST has an idempotency key of its own.
* Nothing of the engine is imported: only httpx, and the shape of reports.
"""

from sync_pipelines.client.client import Client
from sync_pipelines.client.errors import (
    ApiError,
    ChangedError,
    ConflictError,
    FieldError,
    NotFoundError,
    SyncError,
    UnreachableError,
)
from sync_pipelines.client.shapes import (
    Authorization,
    Connection,
    DeadLetter,
    Execution,
    Firing,
    LogLine,
    Preview,
    Redriven,
    Schedule,
    Sync,
    Triggered,
)
from sync_pipelines.client.told_shapes import (
    AlertThreshold,
    Digest,
    Incident,
    NoticeDelivery,
    Rule,
)
from sync_pipelines.model.report import Dashboard, Day, Report, SyncTotals, Totals

__all__ = [
    "AlertThreshold",
    "ApiError",
    "Authorization",
    "ChangedError",
    "Client",
    "ConflictError",
    "Connection",
    "Dashboard",
    "Day",
    "DeadLetter",
    "Digest",
    "Execution",
    "FieldError",
    "Firing",
    "Incident",
    "LogLine",
    "NotFoundError",
    "NoticeDelivery",
    "Preview",
    "Redriven",
    "Report",
    "Rule",
    "Schedule",
    "Sync",
    "SyncError",
    "SyncTotals",
    "Totals",
    "Triggered",
    "UnreachableError",
]

"""What a notice says, as versioned JSON: a webhook is sent it, and mails are made of it.

Version 1. Fields are only ever added. Instants are ISO 8601 in UTC. ``path`` is where in
the product it is shown; who sends it knows the host.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sync_pipelines.catalog.history import HistoryEntry
from sync_pipelines.catalog.incidents import Incident
from sync_pipelines.catalog.reporting import Around
from sync_pipelines.model.notification import Severity, Topic

VERSION = 1


def envelope(
    *, event_id: str, topic: Topic, severity: Severity, at: datetime, tenant: str
) -> dict[str, Any]:
    """What every payload has."""
    return {
        "version": VERSION,
        "id": event_id,
        "type": str(topic),
        "severity": str(severity),
        "occurred_at": at.isoformat(),
        "tenant": tenant,
    }


def of_execution(entry: HistoryEntry, around: Around) -> dict[str, Any]:
    """What is told of an outcome."""
    one, counts = entry.execution, entry.counts
    _, _, name = one.sync_key.partition("/")
    return {
        "sync": {"id": str(one.sync_id), "name": name, "connection": one.connection},
        "execution": {
            "id": str(one.id),
            "status": str(one.status),
            "trigger": str(one.trigger),
            "attempt": one.attempt,
            "run_id": one.run_id,
            "due_at": _time(one.due_at),
            "started_at": _time(one.started_at),
            "completed_at": _time(one.completed_at),
            "duration_ms": _milliseconds(entry),
        },
        "counts": {
            "processed": counts.processed,
            "created": counts.created,
            "updated": counts.updated,
            "deleted": counts.deleted,
            "rejected": counts.rejected,
            "bytes": counts.bytes,
        },
        "error": _error(entry),
        "last_good_at": _time(around.last_good_at),
        "next_run_at": _time(around.next_run_at),
        "path": f"/syncs/{one.sync_key}",
    }


def of_incident(incident: Incident) -> dict[str, Any]:
    """What is told of an incident. ``details`` is left out: it is the watch's own."""
    return {
        "id": str(incident.id),
        "kind": str(incident.alarm.kind),
        "subject": incident.alarm.subject,
        "message": incident.alarm.message,
        "remedy": incident.alarm.remedy,
        "seen": incident.seen,
        "opened_at": incident.opened_at.isoformat(),
    }


def instant(payload: Mapping[str, Any], name: str) -> datetime | None:
    """An instant of a payload."""
    written = payload.get(name)
    return datetime.fromisoformat(written) if written else None


def _error(entry: HistoryEntry) -> dict[str, Any] | None:
    if entry.error_message is None:
        return None
    details = entry.error_details or {}
    return {
        "class": str(details.get("error_class", "unexpected")),
        "message": entry.error_message,
        "streams": sorted(stream for stream in details.get("streams", {}) if stream),
    }


def _milliseconds(entry: HistoryEntry) -> int | None:
    return None if entry.duration is None else int(entry.duration.total_seconds() * 1000)


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()

"""Executions, what is counted of them by day, and what ought to be."""

from bisect import bisect_right
from datetime import UTC, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import insert, select

from sync_pipelines.catalog.rollups import BOUNDS, PLACES
from sync_pipelines.catalog.tables import DayRow, ExecutionRow
from sync_pipelines.model.execution import FINAL, Status
from tests.world import START

SUMMED = (
    *("records_processed", "records_created", "records_updated", "records_deleted"),
    *("records_rejected", "bytes_moved"),
)


def row(sync, *, status=Status.COMPLETED, ago=timedelta(), duration_ms=1500, **fields):
    return {
        "id": uuid4(),
        "tenant_id": sync.tenant_id,
        "sync_id": sync.id,
        "trigger": "manual",
        "status": status,
        "created_at": START - ago,
        "duration_ms": duration_ms,
        "records_processed": 10,
        "bytes_moved": 100,
        **fields,
    }


def add(db, *rows):
    db.execute(insert(ExecutionRow), list(rows))


def counted(db, tenant_id):
    """What the table says, by sync and day."""
    query = select(DayRow.__table__).where(DayRow.tenant_id == tenant_id)
    rows = [dict(found) for found in db.execute(query).mappings()]
    return {(one.pop("sync_id"), one.pop("day")): one for one in rows}


def expected(db, tenant_id):
    """What the table must say, by the rows."""
    query = select(ExecutionRow.__table__).where(ExecutionRow.tenant_id == tenant_id)
    days: dict[Any, dict[str, Any]] = {}
    for one in db.execute(query).mappings():
        if one["status"] not in FINAL:
            continue
        key = (one["sync_id"], one["created_at"].astimezone(UTC).date())
        nothing = dict.fromkeys(("attempts", "duration_ms", *SUMMED, *FINAL), 0)
        start = {"tenant_id": tenant_id, **nothing, "longest_ms": None, "durations": [0] * PLACES}
        day = days.setdefault(key, start)
        day[one["status"]] += 1
        day["attempts"] += one["attempt"]
        for name in SUMMED:
            day[name] += one[name]
        if (took := one["duration_ms"]) is not None:
            day["duration_ms"] += took
            day["longest_ms"] = max(took, day["longest_ms"] or 0)
            day["durations"][bisect_right(BOUNDS, took)] += 1
    return days

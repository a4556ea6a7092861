"""``/api/v2/reports``: what came of a tenant's syncs in a span of time, as JSON or CSV."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from io import StringIO
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from sync_pipelines.catalog import rollups
from sync_pipelines.catalog.reports import report
from sync_pipelines.gateway.api.times import Instant
from sync_pipelines.gateway.doors import ItsDoors
from sync_pipelines.gateway.identity import Viewer
from sync_pipelines.gateway.problems import FieldError, ProblemError
from sync_pipelines.model.report import Dashboard, Report, SyncTotals, Totals

router = APIRouter(prefix="/api/v2/reports", tags=["reports"])

USUAL = timedelta(days=7)
LONGEST = timedelta(days=366)

CSV = "text/csv; charset=utf-8"

RISKY = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would take for a formula (OWASP, CSV injection)."""


class Format(StrEnum):
    """How a report is written."""

    JSON = "json"
    CSV = "csv"


class ReportTold(BaseModel):
    """A span, from `from` on and before `to`, by when executions were created."""

    model_config = ConfigDict(populate_by_name=True, from_attributes=True)

    start: datetime = Field(serialization_alias="from")
    end: datetime = Field(serialization_alias="to")
    percentiles_exact: bool = Field(
        description="Whether percentiles are of the rows; else estimated, within a fifth."
    )
    totals: Totals
    syncs: Sequence[SyncTotals]
    conflicts_found: int = Field(description="Conflicts of schedules that began in the span.")
    conflicts_open: int


@router.get(
    "",
    response_model=ReportTold,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def get(
    caller: Viewer,
    doors: ItsDoors,
    since: Annotated[Instant | None, Query(alias="from")] = None,
    until: Annotated[Instant | None, Query(alias="to")] = None,
    format: Format = Format.JSON,
) -> ReportTold | Response:
    """Success, durations, records, conflicts and resources; the last seven days by default."""
    end = until or doors.clock()
    start = since or end - USUAL
    if not start < end <= start + LONGEST:
        message = f"from must be before to, and at most {LONGEST.days} days"
        wrong = FieldError(field="query.from", message=message)
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, message, errors=[wrong])
    with caller.catalog.begin() as db:
        found = report(db, tenant_id=caller.tenant.id, start=start, end=end)
    if format is Format.CSV:
        headers = {"Content-Disposition": 'attachment; filename="report.csv"'}
        return Response(_csv(found), media_type=CSV, headers=headers)
    return ReportTold.model_validate(found)


@router.get("/dashboard")
def dashboard(caller: Viewer, doors: ItsDoors) -> Dashboard:
    """What goes on now, and how each of the last seven UTC days went."""
    with caller.catalog.begin() as db:
        return rollups.dashboard(db, tenant_id=caller.tenant.id, now=doors.clock())


def _csv(found: Report) -> str:
    """A row a sync, and one for all, whose sync is empty."""
    written, names = StringIO(), [field.name for field in fields(Totals)]
    rows = csv.writer(written, lineterminator="\r\n")
    rows.writerow(["from", "to", "sync", *names, "percentiles_exact"])
    span = [found.start.isoformat(), found.end.isoformat()]
    is_exact = str(found.percentiles_exact).lower()
    for sync, totals in (("", found.totals), *((one.sync, one) for one in found.syncs)):
        values = asdict(totals)
        rows.writerow([*span, _harmless(sync), *(values[name] for name in names), is_exact])
    return written.getvalue()


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(RISKY) else text

"""``/api/v2/digests``: what a digest would say, before anybody is sent one."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from sync_pipelines.gateway.api.shapes import Json
from sync_pipelines.gateway.doors import ItsDoors
from sync_pipelines.gateway.identity import Viewer
from sync_pipelines.model.notification import DigestTime, Every
from sync_pipelines.model.wall import read_time
from sync_pipelines.notify.digest_wording import worded_digest
from sync_pipelines.notify.ruling import preview_digest
from sync_pipelines.timing.zones import find_zone

router = APIRouter(prefix="/api/v2/digests", tags=["digests"])


class DigestTold(BaseModel):
    """The digest that ended last: as a mail's subject and text, and as a webhook's payload."""

    subject: str
    text: str
    payload: Json


@router.get("/preview")
def preview(
    caller: Viewer,
    doors: ItsDoors,
    every: Every = Every.DAILY,
    at: Annotated[str, Query(max_length=5, examples=["07:00"])] = "07:00",
    weekday: Annotated[int, Query(ge=1, le=7, description="From Monday, 1.")] = 1,
    timezone: Annotated[str, Query(max_length=100, examples=["Europe/Berlin"])] = "UTC",
) -> DigestTold:
    """The digest that ended last, as it would be sent; nothing is sent."""
    find_zone(timezone)
    when = DigestTime(every=every, at=read_time(at), weekday=weekday, timezone=timezone)
    with caller.catalog.begin() as db:
        found = preview_digest(db, caller.tenant.id, when, doors.clock())
    worded = worded_digest(found)
    return DigestTold(subject=worded.subject, text=worded.as_text(), payload=dict(found.payload))

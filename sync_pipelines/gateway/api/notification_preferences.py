"""``/api/v2/notification-preferences``: how whoever is signed in wants to be told.

Law: they hold whatever rules say, for this person and this tenant.
"""

from datetime import time
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from sync_pipelines.apply.rule_plan import spelled_quiet
from sync_pipelines.catalog import audit, notifications, outbox
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.gateway.api.notifications import PersonId
from sync_pipelines.gateway.api.shapes import Json
from sync_pipelines.gateway.api.versions import IfMatch, answered, check_match, etag
from sync_pipelines.gateway.doors import ItsDoors
from sync_pipelines.gateway.identity import Viewer
from sync_pipelines.model.notification import Channel, Preferences, QuietHours, Topic
from sync_pipelines.model.wall import CadenceError, read_time
from sync_pipelines.timing.zones import find_zone

router = APIRouter(prefix="/api/v2/notification-preferences", tags=["notification-preferences"])

NIGHT: JsonDict = {
    "timezone": "Europe/Berlin",
    "quiet_hours": {"from": "22:00", "to": "07:00", "timezone": "Europe/Berlin"},
    "muted_topics": ["success"],
    "muted_channels": [],
    "muted_rules": [],
}


def _zone(name: str) -> str:
    try:
        find_zone(name)
    except CadenceError as error:
        raise ValueError(error.message) from error
    return name


def _wall(written: str) -> str:
    try:
        read_time(written)
    except CadenceError as error:
        raise ValueError(error.message) from error
    return written


Zone = Annotated[str, Field(max_length=100), AfterValidator(_zone)]
Wall = Annotated[str, Field(max_length=5), AfterValidator(_wall)]


class Quiet(BaseModel):
    """From one time of day to another nobody is disturbed, on the clocks of a zone."""

    model_config = ConfigDict(extra="forbid")

    start: Wall = Field(alias="from", examples=["22:00"])
    end: Wall = Field(alias="to", examples=["07:00"])
    timezone: Zone = "UTC"


class PreferencesPut(BaseModel):
    """How one wants to be told; what is left out is left to the rules.

    Nothing comes of `muted_topics` and by `muted_channels`; no mail by `muted_rules`, which
    is what unsubscribing writes.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [NIGHT]})

    timezone: Zone | None = None
    quiet_hours: Quiet | None = None
    muted_topics: list[Topic] = Field(default_factory=list, max_length=100)
    muted_channels: list[Channel] = Field(default_factory=list, max_length=100)
    muted_rules: list[UUID] = Field(default_factory=list, max_length=1000)


class PreferencesTold(BaseModel):
    """The same, as they are kept."""

    timezone: str | None
    quiet_hours: Json | None
    muted_topics: list[Topic]
    muted_channels: list[Channel]
    muted_rules: list[UUID]


@router.get("")
def get(caller: Viewer, person: PersonId, response: Response) -> PreferencesTold:
    """One's own preferences for this tenant."""
    return _answer(_found(caller.catalog, person, caller.tenant.id), response)


@router.put("")
def put(
    wanted: PreferencesPut,
    caller: Viewer,
    person: PersonId,
    response: Response,
    doors: ItsDoors,
    if_match: IfMatch = None,
) -> PreferencesTold:
    """Replace one's own preferences for this tenant."""
    fresh = Preferences(
        timezone=wanted.timezone,
        quiet=_quiet(wanted.quiet_hours),
        muted=tuple(dict.fromkeys(wanted.muted_topics)),
        muted_channels=tuple(dict.fromkeys(wanted.muted_channels)),
        muted_rules=tuple(dict.fromkeys(wanted.muted_rules)),
    )
    tenant_id, now = caller.tenant.id, doors.clock()
    with caller.catalog.begin() as db:
        held = notifications.find_preferences(db, person, tenant_id=tenant_id)
        check_match(if_match, _etag(held))
        notifications.put_preferences(db, person, fresh, tenant_id=tenant_id, now=now)
        if caller.identity.user is not None:
            outbox.look_again(db, caller.identity.user.email, tenant_id=tenant_id, now=now)
        audit.record(
            db,
            at=now,
            actor=caller.actor,
            action="notifications.preferences_stored",
            subject=caller.actor,
            tenant_id=tenant_id,
            before=_told(held).model_dump(mode="json"),
            after=_told(fresh).model_dump(mode="json"),
        )
    return _answer(fresh, response)


def _found(view: Catalog, person: UUID, tenant_id: UUID) -> Preferences:
    with view.begin() as db:
        return notifications.find_preferences(db, person, tenant_id=tenant_id)


def _quiet(wanted: Quiet | None) -> QuietHours | None:
    if wanted is None:
        return None
    start: time = read_time(wanted.start)
    return QuietHours(start=start, end=read_time(wanted.end), timezone=wanted.timezone)


def _answer(found: Preferences, response: Response) -> PreferencesTold:
    return answered(_told(found), response, version=_etag(found))


def _etag(found: Preferences) -> str:
    return etag(_told(found).model_dump(mode="json"), None)


def _told(found: Preferences) -> PreferencesTold:
    return PreferencesTold(
        timezone=found.timezone,
        quiet_hours=spelled_quiet(found.quiet),
        muted_topics=list(found.muted),
        muted_channels=list(found.muted_channels),
        muted_rules=list(found.muted_rules),
    )

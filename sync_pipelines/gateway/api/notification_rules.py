"""``/api/v2/notification-rules``: who is told of what.

Laws:

* A URL may be a secret: it is taken, and comes back in no answer.
* A signing secret is shown once, by the answer that it was made for. That one is kept under
  no ``Idempotency-Key``: a name is taken once anyway.
"""

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic.config import JsonDict
from sqlalchemy import Connection as Db

from sync_pipelines.apply.body import Body, body_of, parsed_rule
from sync_pipelines.apply.current import Current
from sync_pipelines.apply.parse import Parsed
from sync_pipelines.apply.rule_plan import described_listed, spelled_rule
from sync_pipelines.apply.spelled import merged
from sync_pipelines.catalog import notifications, told
from sync_pipelines.catalog.listing import NameSort
from sync_pipelines.catalog.notifications import RuleListed
from sync_pipelines.catalog.told import WhichRules
from sync_pipelines.gateway.api.changing import already, check_same, plan_and_act
from sync_pipelines.gateway.api.once import OnceOperator, OnceRoute
from sync_pipelines.gateway.api.paging import Cursor, Limit, cursor_of, key_of
from sync_pipelines.gateway.api.shapes import Json
from sync_pipelines.gateway.api.versions import IfMatch, answered, check_match, etag
from sync_pipelines.gateway.doors import Doors, ItsDoors
from sync_pipelines.gateway.identity import Admin, Caller, Viewer
from sync_pipelines.gateway.problems import not_found
from sync_pipelines.model.notification import Channel, Rule, Scope, Topic
from sync_pipelines.notify import ruling
from sync_pipelines.notify.ruling import By

router = APIRouter(
    prefix="/api/v2/notification-rules", tags=["notification-rules"], route_class=OnceRoute
)

TEAM: JsonDict = {
    "name": "team",
    "channel": "email",
    "recipients": ["ana@example.com"],
    "topics": ["failure", "recovered"],
    "quiet_hours": {"from": "22:00", "to": "07:00", "timezone": "Europe/Berlin"},
}


class RuleParts(BaseModel):
    """What every way of writing a rule shares; as in a manifest."""

    model_config = ConfigDict(extra="forbid")

    channel: str | None = Field(default=None, description="email, in_app, webhook or apprise.")
    topics: list[str] | None = Field(default=None, max_length=100)
    recipients: list[str] | None = Field(default=None, max_length=1000)
    url: SecretStr | None = Field(
        default=None, max_length=2000, description="Of a webhook, or for Apprise; never told."
    )
    sync: str | None = Field(default=None, description="A sync's name: of this one only.")
    schedule: str | None = Field(default=None, description="SYNC/SCHEDULE: of this one only.")
    tag: str | None = Field(default=None, description="Of the syncs with this tag only.")
    quiet_hours: Json | None = None
    digest: Json | None = None
    escalate_after: int | None = None
    remind_after: str | None = None
    is_active: bool | None = None

    def written(self) -> dict[str, Any]:
        """What was said, and no more."""
        said = self.model_dump(exclude_unset=True)
        if self.url is not None:
            said["url"] = self.url.get_secret_value()
        return said


class RuleWanted(RuleParts):
    """A rule to be made."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [TEAM]})

    name: str = Field(max_length=63)


class RulePut(RuleParts):
    """What a rule is to become as a whole. ``name``, and a ``url`` left out, stay as they are."""

    name: str | None = None


class RulePatch(RulePut):
    """A JSON merge patch (RFC 7396) of a rule; lists are replaced as a whole."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"topics": ["failure", "warning"]}]}
    )


class RuleTold(BaseModel):
    """A rule. ``target`` is what may be told of its URL; ``paused``: why nothing is sent."""

    id: UUID
    name: str
    channel: Channel
    scope: Scope
    topics: list[Topic]
    recipients: list[str]
    target: str | None
    sync: str | None
    schedule: str | None
    tag: str | None
    quiet_hours: Json | None
    digest: Json
    escalate_after: int
    remind_after: str
    is_active: bool
    paused: str | None
    unsubscribed: list[str]
    created_at: datetime
    updated_at: datetime


class RuleMade(RuleTold):
    """With the secret that a webhook's messages are signed with, shown this once."""

    signing_secret: str | None


class Rules(BaseModel):
    """A page of rules."""

    items: list[RuleTold]
    next: str | None


class Sent(BaseModel):
    """How many messages are on their way."""

    messages: int


@router.get("")
def list_(
    caller: Viewer,
    channel: Channel | None = None,
    sync: str | None = None,
    tag: str | None = None,
    is_active: bool | None = None,
    sort: NameSort = NameSort.NAME,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Rules:
    """The tenant's rules."""
    which = WhichRules(channel=channel, sync=sync, tag=tag, is_active=is_active)
    view, after = caller.catalog, key_of(cursor, sort)
    with view.begin() as db:
        found = told.list_rules(
            db,
            view.secrets,
            which,
            tenant_id=caller.tenant.id,
            sort=sort,
            after=after,
            limit=limit,
        )
    return Rules(items=[_told(one) for one in found.items], next=cursor_of(found.next, sort))


@router.post("", status_code=HTTPStatus.CREATED)
def create(wanted: RuleWanted, caller: Admin, response: Response, doors: ItsDoors) -> RuleMade:
    """Make a rule; 409 if there is one of that name."""
    written = {key: value for key, value in wanted.written().items() if key != "name"}

    def want(_: Db, current: Current) -> tuple[Body, Parsed]:
        if current.rule(wanted.name) is not None:
            raise already("rule", wanted.name)
        body = body_of(written)
        return body, parsed_rule(body, caller.tenant.name, wanted.name)

    plan_and_act(caller, doors, want)
    view = caller.catalog
    with view.begin() as db:
        rule = notifications.find_rule(db, view.secrets, wanted.name, tenant_id=caller.tenant.id)
        made = _must_be(db, caller, rule.id)
    response.headers["Location"] = f"{router.prefix}/{rule.id}"
    response.headers["ETag"] = _etag(made)
    return _shown(made, rule, response)


@router.get("/{rule_id}")
def get(rule_id: UUID, caller: Viewer, response: Response) -> RuleTold:
    """One rule."""
    return _answer(_found(caller, rule_id), response)


@router.put("/{rule_id}")
def put(
    rule_id: UUID,
    wanted: RulePut,
    caller: Admin,
    response: Response,
    doors: ItsDoors,
    if_match: IfMatch = None,
) -> RuleTold:
    """Replace a rule: what is left out becomes its default, but for the URL and the switch."""
    return _changed(caller, doors, rule_id, wanted, response, is_patch=False, if_match=if_match)


@router.patch("/{rule_id}")
def patch(
    rule_id: UUID,
    wanted: RulePatch,
    caller: Admin,
    response: Response,
    doors: ItsDoors,
    if_match: IfMatch = None,
) -> RuleTold:
    """Change a part of a rule. ``is_active`` true also ends its pause."""
    return _changed(caller, doors, rule_id, wanted, response, is_patch=True, if_match=if_match)


@router.delete("/{rule_id}", status_code=HTTPStatus.NO_CONTENT)
def delete(rule_id: UUID, caller: Admin, doors: ItsDoors, if_match: IfMatch = None) -> None:
    """Tell nobody by a rule any more; what is on its way is dropped."""
    with caller.catalog.begin() as db:
        found = _must_be(db, caller, rule_id)
        check_match(if_match, _etag(found))
        ruling.remove_rule(db, found.rule, _by(caller, doors))


@router.post("/{rule_id}/test", status_code=HTTPStatus.ACCEPTED)
def test(rule_id: UUID, caller: OnceOperator, doors: ItsDoors) -> Sent:
    """Send a test to all whom a rule tells, in quiet hours too."""
    rule = _found(caller, rule_id).rule
    # Not as the tenant: whom it tells may be users, and these belong to none.
    with doors.catalog.begin() as db:
        sent = ruling.send_test(db, rule, _by(caller, doors))
    return Sent(messages=sent)


@router.post("/{rule_id}/rotate")
def rotate(rule_id: UUID, caller: Admin, response: Response, doors: ItsDoors) -> RuleMade:
    """Give a webhook a fresh signing secret; the one before signs beside it for a day."""
    view = caller.catalog
    with view.begin() as db:
        named = _must_be(db, caller, rule_id).rule.name
        rule = notifications.find_rule(db, view.secrets, named, tenant_id=caller.tenant.id)
        ruling.rotate_signing(db, view.secrets, rule, _by(caller, doors), rng=doors.rng)
        rule = notifications.find_rule(db, view.secrets, named, tenant_id=caller.tenant.id)
        return _shown(_must_be(db, caller, rule_id), rule, response)


def _changed(
    caller: Caller,
    doors: Doors,
    rule_id: UUID,
    wanted: RulePut,
    response: Response,
    *,
    is_patch: bool,
    if_match: str | None,
) -> RuleTold:
    name, written = _found(caller, rule_id).rule.name, wanted.written()

    def want(db: Db, _: Current) -> tuple[Body, Parsed]:
        held = _must_be(db, caller, rule_id)
        check_match(if_match, _etag(held))
        check_same("name", written.get("name"), name)
        asked = {key: value for key, value in written.items() if key != "name"}
        body = body_of(_patched(held, asked) if is_patch else asked)
        return body, parsed_rule(body, caller.tenant.name, name)

    plan_and_act(caller, doors, want)
    return _answer(_found(caller, rule_id), response)


def _patched(held: RuleListed, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What there is with the patch; the switch stands there only if it is asked for."""
    spelled = dict(spelled_rule(held.rule, sync=held.sync, schedule=held.schedule))
    del spelled["is_active"]
    if any(asked.get(key) is not None for key in ("sync", "schedule", "tag")):
        spelled |= {"sync": None, "schedule": None, "tag": None}
    return merged(spelled, asked)


def _found(caller: Caller, rule_id: UUID) -> RuleListed:
    with caller.catalog.begin() as db:
        return _must_be(db, caller, rule_id)


def _must_be(db: Db, caller: Caller, rule_id: UUID) -> RuleListed:
    found = notifications.get_rule(db, caller.catalog.secrets, rule_id, tenant_id=caller.tenant.id)
    if found is None:
        raise not_found("rule", rule_id)
    return found


def _by(caller: Caller, doors: Doors) -> By:
    return By(actor=caller.actor, now=doors.clock())


def _answer(found: RuleListed, response: Response) -> RuleTold:
    return answered(_told(found), response, version=_etag(found))


def _etag(found: RuleListed) -> str:
    return etag(described_listed(found), found.updated_at)


def _shown(found: RuleListed, rule: Rule, response: Response) -> RuleMade:
    response.headers["Cache-Control"] = "no-store"
    secret = rule.signing[0].value if rule.signing else None
    return RuleMade(**_told(found).model_dump(), signing_secret=secret)


def _told(found: RuleListed) -> RuleTold:
    rule = found.rule
    spelled: Any = spelled_rule(rule, sync=found.sync, schedule=found.schedule)
    return RuleTold(
        id=rule.id,
        name=rule.name,
        scope=rule.scope,
        target=rule.shown,
        paused=rule.paused,
        unsubscribed=list(rule.unsubscribed),
        created_at=found.created_at,
        updated_at=found.updated_at,
        **spelled,
    )

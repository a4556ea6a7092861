"""Endpoints as people manage them: made, given new secrets, switched, looked after.

Laws:

* A secret that we make up is shown once, to whoever asked for it.
* A new secret does not end the old one at once: the provider is told of it in between.
* Every change is in the audit, without the secret.
"""

import re
import secrets as chance
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection as Db

from connectors.errors import ConfigError
from connectors.webhooks.schemes import SCHEMES, scheme_of
from connectors.webhooks.standard import PUBLIC, SYMMETRIC
from sync_pipelines.catalog import audit, endpoints, incidents
from sync_pipelines.catalog.incidents import Alarm, Kind
from sync_pipelines.catalog.secrets import SecretBox
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.syncs import find_tenant_id
from sync_pipelines.model.endpoint import Endpoint, Secret

OVERLAP = timedelta(days=1)
"""How long an old secret stays good beside a new one, unless somebody says otherwise."""

SHORTEST_SECRET = 8
LONGEST_SECRET = 1024

MOST_REFUSED = 20
"""So many requests refused in a row, and not one genuine, are an alarm."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An endpoint, and the secret that was made up for it; None where one was given."""

    endpoint: Endpoint
    secret: str | None = field(repr=False)


def create(
    catalog: Catalog,
    *,
    tenant: str,
    name: str,
    scheme: str,
    options: Mapping[str, object],
    connection: str | None,
    secret: str | None,
    silence_after: timedelta | None,
    actor: str,
    now: datetime,
) -> Made:
    """Make an endpoint; `ConfigError` names what is wrong. Without ``secret`` one is made up."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"name {name!r} of a webhook endpoint must be of small letters, digits, - and _, "
            "for example shop-orders"
        )
    if silence_after is not None and silence_after < timedelta(minutes=1):
        raise ConfigError(f"silence_after {silence_after} is too short; wait for a minute at least")
    scheme_of(scheme, options)
    shown = None if secret is not None else _made_up(scheme)
    proof = _checked(scheme, secret or shown or "")
    with catalog.begin() as db:
        tenant_id = find_tenant_id(db, tenant)
        wanted = Endpoint(
            id=uuid4(),
            tenant_id=tenant_id,
            tenant=tenant,
            name=name,
            connection=connection,
            key=chance.token_urlsafe(16),
            scheme=scheme,
            config=dict(options),
            secrets=(Secret(value=proof),),
            silence_after=silence_after,
            created_at=now,
        )
        made = endpoints.create(db, catalog.secrets, wanted, now=now)
        _audit(db, made, "webhook.created", actor, now, after=_told(made))
    return Made(endpoint=made, secret=shown)


def rotate(
    catalog: Catalog,
    name: str,
    *,
    tenant: str,
    secret: str | None,
    overlap: timedelta = OVERLAP,
    actor: str,
    now: datetime,
) -> Made:
    """Give an endpoint a new secret; those before stay good for ``overlap`` at most."""
    with catalog.begin() as db:
        held = endpoints.find(db, catalog.secrets, name, tenant=tenant)
        shown = None if secret is not None else _made_up(held.scheme)
        proof = _checked(held.scheme, secret or shown or "")
        until = now + overlap
        before = tuple(
            Secret(value=one.value, until=until if one.until is None else min(one.until, until))
            for one in held.secrets
            if (one.until is None or one.until > now) and one.value != proof
        )
        endpoints.put_secrets(db, catalog.secrets, held, (Secret(value=proof), *before), now=now)
        _audit(db, held, "webhook.rotated", actor, now, after={"until": until.isoformat()})
        made = endpoints.find(db, catalog.secrets, name, tenant=tenant)
    return Made(endpoint=made, secret=shown)


def switch(
    catalog: Catalog, name: str, *, tenant: str, is_on: bool, actor: str, now: datetime
) -> Endpoint:
    """Switch an endpoint on or off; what comes to one that is off is answered and dropped."""
    with catalog.begin() as db:
        held = endpoints.find(db, catalog.secrets, name, tenant=tenant)
        endpoints.switch(db, held, is_on=is_on, now=now)
        _audit(db, held, f"webhook.{'on' if is_on else 'off'}", actor, now)
        return endpoints.find(db, catalog.secrets, name, tenant=tenant)


def switch_tenant(catalog: Catalog, *, tenant: str, is_on: bool, actor: str, now: datetime) -> None:
    """Let all of a tenant's webhooks count, or none: then only its schedules do."""
    with catalog.begin() as db:
        tenant_id = find_tenant_id(db, tenant)
        endpoints.switch_tenant(db, tenant_id=tenant_id, is_on=is_on, now=now)
        audit.record(
            db,
            at=now,
            actor=actor,
            action=f"webhooks.{'on' if is_on else 'off'}",
            subject=tenant,
            tenant_id=tenant_id,
        )


def remove(catalog: Catalog, name: str, *, tenant: str, actor: str, now: datetime) -> None:
    """Forget an endpoint with what came to it; its URL is nobody's from now on."""
    with catalog.begin() as db:
        held = endpoints.find(db, catalog.secrets, name, tenant=tenant)
        endpoints.remove(db, held)
        for kind in (Kind.SILENT_WEBHOOK, Kind.REFUSED_WEBHOOKS, Kind.DISABLED_WEBHOOK):
            incidents.resolve(db, kind, held.label, now=now)
        _audit(db, held, "webhook.removed", actor, now, before=_told(held))


def note_health(db: Db, secrets: SecretBox, now: datetime) -> tuple[Alarm, ...]:
    """Open, keep or resolve the incidents of endpoints; those that are on now."""
    silent = endpoints.silent_for_all_tenants(db, secrets, now)
    refusing = endpoints.refusing_for_all_tenants(db, secrets, streak=MOST_REFUSED)
    alarms = (*map(_silent, silent), *map(_refusing, refusing))
    for alarm in alarms:
        incidents.raise_incident(db, alarm, now=now)
    on = {(alarm.kind, alarm.subject) for alarm in alarms}
    for kind in (Kind.SILENT_WEBHOOK, Kind.REFUSED_WEBHOOKS):
        for subject in incidents.open_subjects_for_all_tenants(db, kind):
            if (kind, subject) not in on:
                incidents.resolve(db, kind, subject, now=now)
    return alarms


def _silent(endpoint: Endpoint) -> Alarm:
    heard = endpoint.health.last_received_at
    since = f"since {heard:%Y-%m-%d %H:%M:%S} UTC" if heard else "ever"
    return Alarm(
        kind=Kind.SILENT_WEBHOOK,
        subject=endpoint.label,
        tenant_id=endpoint.tenant_id,
        message=f"no webhook has come to {endpoint.label} {since}; one was expected within "
        f"{endpoint.silence_after}",
        remedy="look at the provider whether it has switched the webhook off, as many do after "
        "failures, or whether its URL or subscription has changed; schedules go on meanwhile",
        details={"last_received_at": heard.isoformat() if heard else None},
    )


def _refusing(endpoint: Endpoint) -> Alarm:
    health = endpoint.health
    return Alarm(
        kind=Kind.REFUSED_WEBHOOKS,
        subject=endpoint.label,
        tenant_id=endpoint.tenant_id,
        message=f"the last {health.streak} webhooks to {endpoint.label} were refused: "
        f"{health.last_refusal}",
        remedy="if the provider sends them, give the endpoint its secret: `sync-pipelines "
        "webhooks rotate`; if somebody else knows the URL, remove the endpoint and make another",
        details={"refused": health.streak, "why": health.last_refusal},
    )


def _made_up(scheme: str) -> str:
    if SCHEMES[scheme].issues_secret:
        raise ConfigError(f"{scheme} issues the secret itself; give the one that it shows")
    if scheme == "standard-webhooks":
        return SYMMETRIC + b64encode(chance.token_bytes(32)).decode()
    return chance.token_urlsafe(32)


def _checked(scheme: str, secret: str) -> str:
    if not SHORTEST_SECRET <= len(secret) <= LONGEST_SECRET or not secret.isascii():
        raise ConfigError(
            f"the secret must have {SHORTEST_SECRET} to {LONGEST_SECRET} characters of ASCII"
        )
    if scheme == "standard-webhooks" and not secret.startswith((SYMMETRIC, PUBLIC)):
        raise ConfigError(f"a Standard Webhooks secret begins with {SYMMETRIC} or {PUBLIC}")
    return secret


def _told(endpoint: Endpoint) -> dict[str, Any]:
    silence = endpoint.silence_after
    return {
        "name": endpoint.name,
        "scheme": endpoint.scheme,
        "connection": endpoint.connection,
        "config": dict(endpoint.config),
        "silence_after_seconds": None if silence is None else silence.total_seconds(),
    }


def _audit(
    db: Db,
    endpoint: Endpoint,
    action: str,
    actor: str,
    now: datetime,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    tenant_id: UUID = endpoint.tenant_id
    audit.record(
        db,
        at=now,
        actor=actor,
        action=action,
        subject=endpoint.label,
        tenant_id=tenant_id,
        before=before,
        after=after,
    )

"""A Stripe account on loopback, as strict as the real one.

Lists are newest first and take only what they know; events are kept for 30 days; cancelled
subscriptions hide; a deleted customer leaves a stub, a deleted draft nothing. It has no
idempotency keys, because the connector posts nothing: a key that may only read refuses it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from connectors.testing.fake_api import FakeApi, Fault, Reply, Request

KEY = "rk_test_reading"
KINDS = {
    "charges": ("charge", "charge"),
    "customers": ("customer", "customer"),
    "invoices": ("invoice", "invoice"),
    "subscriptions": ("subscription", "customer.subscription"),
    "payouts": ("payout", "payout"),
}
"""By list: what its objects are called, and what their events begin with."""
PAGING = {"limit", "starting_after", "ending_before"}
BOUNDS = {f"created[{bound}]" for bound in ("gt", "gte", "lt", "lte")}
OWN = {
    "charges": {"customer", "payment_intent", "transfer_group"},
    "customers": {"email"},
    "invoices": {"customer", "status", "subscription", "collection_method"},
    "subscriptions": {"customer", "status", "price"},
    "payouts": {"status", "destination"},
    "events": {"type", "delivery_success"},
}


def wrong(message: str, *, status: int = 400, code: str = "parameter_invalid") -> Reply:
    error = {"type": "invalid_request_error", "code": code, "message": message}
    return Reply.json({"error": error}, status=status)


def busy(should_retry: str | None = None) -> Fault:
    """409: somebody else holds the lock."""
    said = {} if should_retry is None else {"Stripe-Should-Retry": should_retry}
    body = {"error": {"code": "lock_timeout", "message": "another request holds it"}}
    return lambda request, route: Reply.json(body, status=409, headers=said)


@dataclass(slots=True)
class StripeAccount:
    api: FakeApi
    held: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.api.guard = self._guard
        for name in KINDS:
            self.held[name] = {}
            self.api.route("GET", f"/v1/{name}", partial(self._list, name))
            self.api.route("GET", f"/v1/{name}/{{id}}", partial(self._one, name))
        self.api.route("GET", "/v1/events", self._events)

    # What happens in the account

    def put(self, name: str, identity: str, moment: datetime, /, **fields: Any) -> None:
        """Create or change an object, and tell of it."""
        kind, prefix = KINDS[name]
        before = self.held[name].get(identity)
        known = before or {"created": int(moment.timestamp()), "object": kind, "livemode": False}
        self.held[name][identity] = {**known, "id": identity, **fields}
        what = "created" if before is None else "updated"
        self.tell(f"{prefix}.{what}", self.held[name][identity], moment)

    def delete(self, name: str, identity: str, moment: datetime, /, **fields: Any) -> None:
        """Delete an object, and tell of it as it was."""
        kind, prefix = KINDS[name]
        was = {**self.held[name].pop(identity), **fields}
        if name == "customers":
            self.held[name][identity] = {"id": identity, "object": kind, "deleted": True}
        self.tell(f"{prefix}.deleted", was, moment)

    def tell(self, kind: str, thing: Mapping[str, Any], moment: datetime) -> None:
        """Make an event."""
        event = {
            "id": f"evt_{len(self.events):06}",
            "object": "event",
            "type": kind,
            "created": int(moment.timestamp()),
            "api_version": "2025-01-01",
            "livemode": False,
            "data": {"object": dict(thing)},
        }
        self.events.append(event)

    # Who calls, and what is answered

    def _guard(self, request: Request) -> Reply | None:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return wrong("Invalid API Key provided: rk_****", status=401, code="api_key")
        if request.method != "GET":
            return wrong("The provided key may only read", status=403, code="permissions")
        if "stripe-version" not in request.headers:
            return wrong("name the version")
        return None

    def _list(self, name: str, request: Request) -> Reply:
        found = [one for one in self.held[name].values() if not one.get("deleted")]
        status = request.params.get("status")
        if name == "subscriptions" and status is None:
            found = [one for one in found if one.get("status") != "canceled"]
        return self._page(name, found, request)

    def _one(self, name: str, request: Request) -> Reply:
        found = self.held[name].get(request.places["id"])
        if found is None:
            return wrong("No such object", status=404, code="resource_missing")
        return Reply.json(found)

    def _events(self, request: Request) -> Reply:
        oldest = (self.api.clock() - timedelta(days=30)).timestamp()
        wanted = request.params.get("type", "*").replace(".", r"\.").replace("*", ".*")
        found = [
            one
            for one in self.events
            if one["created"] >= oldest and re.fullmatch(wanted, one["type"])
        ]
        return self._page("events", found, request)

    def _page(self, name: str, found: Iterable[Mapping[str, Any]], request: Request) -> Reply:
        params = request.params
        unknown = set(params) - PAGING - BOUNDS - OWN[name]
        if unknown:
            return wrong(f"Received unknown parameter: {min(unknown)}", code="parameter_unknown")
        limit = int(params.get("limit", "10"))
        if not 1 <= limit <= 100:
            return wrong("limit is between 1 and 100")
        ordered = sorted(
            enumerate(found), key=lambda one: (one[1]["created"], one[0]), reverse=True
        )
        records = [one for _, one in ordered]
        after, before = params.get("starting_after"), params.get("ending_before")
        if after is not None and before is not None:
            return wrong("You may only specify one of these parameters")
        ids = [one["id"] for one in records]
        edge = after or before
        if edge is not None:
            if edge not in ids:
                return wrong(f"No such object: {edge}", code="resource_missing")
            place = ids.index(edge)
            records = records[:place] if after is None else records[place + 1 :]
        records = [one for one in records if _fits(one, name, params)]
        page = records[-limit:] if before is not None else records[:limit]
        body = {"object": "list", "data": page, "has_more": len(records) > limit}
        return Reply.json({**body, "url": request.path})


def _fits(one: Mapping[str, Any], name: str, params: Mapping[str, str]) -> bool:
    """By the list's own filters; ``status`` all, and an event's type, were looked at before."""
    own = {field: said for field, said in params.items() if field in OWN[name]}
    if name == "events" or own.get("status") == "all":
        own.pop("type", None), own.pop("status", None)
    if any(str(one.get(field)) != said for field, said in own.items()):
        return False
    return _within(one["created"], params)


def _within(created: int, params: Mapping[str, str]) -> bool:
    bounds = {name[8:-1]: int(value) for name, value in params.items() if name in BOUNDS}
    return (
        created > bounds.get("gt", created - 1)
        and created >= bounds.get("gte", created)
        and created < bounds.get("lt", created + 1)
        and created <= bounds.get("lte", created)
    )

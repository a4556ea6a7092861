"""QuickBooks Online as far as we speak to it: a real server on loopback that keeps its rules.

Law: what it accepts, Intuit would; what is only believed of Intuit is refused here where
that is the stricter way.
"""

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.testing.fake_api import FakeApi, Reply, Request, Route
from tests.providers.intuit import CLIENT, REALM, SECRET, Intuit
from tests.providers.quickbooks_kept import LISTS, NAMES, Kept, voided
from tests.providers.quickbooks_query import (
    QUERY,
    RefusedError,
    at,
    comparable,
    conditions,
    fault,
    fits,
    refuse,
)

THROTTLED = fault("3001", "ThrottleExceeded", "errorCode=003001", status=429, kind="THROTTLE")


def throttled(request: Request, route: Route) -> Reply:
    """A fault to be scripted: too many calls."""
    return THROTTLED


def done_but_unheard(request: Request, route: Route) -> Reply:
    """A fault to be scripted: the call is done, and its answer is lost."""
    return Reply(body=route(request).body, cut=3)


def fault_with_200(request: Request, route: Route) -> Reply:
    """A fault to be scripted: something is wrong, and the status says it is not."""
    return fault("10000", "An application error has occurred", status=200, kind="SystemFault")


@dataclass
class QuickBooks(Intuit, Kept):
    """One company, and Intuit's token server."""

    api: FakeApi = field(init=False)
    replays: dict[str, Reply] = field(default_factory=dict)
    calls: deque = field(default_factory=deque)
    most_a_minute: int = 500
    largest: int = 1000
    in_flight: int = 0
    most_in_flight: int = 0
    hold: Callable[[], object] = lambda: None

    def __post_init__(self) -> None:
        self.api = FakeApi(clock=self.clock)
        base = f"/v3/company/{REALM}"
        self.api.route("GET", f"{base}/{{entity}}/{{id}}", self._guarded(self._one))
        self.api.route("GET", f"{base}/companyinfo/{REALM}", self._guarded(self._company))
        self.api.route("GET", f"{base}/query", self._guarded(self._query))
        self.api.route("GET", f"{base}/cdc", self._guarded(self._cdc))
        self.api.route("POST", f"{base}/{{entity}}", self._guarded(self._write))
        self.api.route("POST", "/oauth2/v1/tokens/bearer", self._tokens)
        self.api.route("GET", "/connect/oauth2", self._consent)
        self.put("Account", Name="Sales", AccountType="Income")

    def config(self, **more: Any) -> dict[str, Any]:
        """A connection's configuration."""
        return {
            "client_id": CLIENT,
            "client_secret": SECRET,
            "realm_id": REALM,
            "refresh_token": "refresh-0",
            "base_url": self.api.url,
            "authorize_url": f"{self.api.url}/connect/oauth2",
            "token_url": f"{self.api.url}/oauth2/v1/tokens/bearer",
            "allow_private_addresses": True,
            **more,
        }

    def posted(self, entity: str) -> list[Request]:
        """The writes that were asked for."""
        path = f"/v3/company/{REALM}/{entity.lower()}"
        return [one for one in self.api.requests if one.method == "POST" and one.path == path]

    # Guards

    def _guarded(self, answer: Route) -> Route:
        def guarded(request: Request) -> Reply:
            with self.lock:
                self.in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.in_flight)
                crowded = self.in_flight > 10
            try:
                if crowded:
                    return THROTTLED
                self._authorize(request)
                self._count(request)
                self.hold()
                with self.lock:
                    return answer(request)
            except RefusedError as refused:
                return refused.reply
            finally:
                with self.lock:
                    self.in_flight -= 1

        return guarded

    def _authorize(self, request: Request) -> None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.access.get(token, datetime.min.replace(tzinfo=UTC)) <= self.clock():
            raise refuse(
                "3200", "AuthenticationFailed", "Token expired", status=401, kind="AUTHENTICATION"
            )

    def _count(self, request: Request) -> None:
        with self.lock:
            now = request.received_at
            while self.calls and self.calls[0] <= now - timedelta(seconds=60):
                self.calls.popleft()
            if len(self.calls) >= self.most_a_minute:
                raise RefusedError(THROTTLED)
            self.calls.append(now)

    # Reading

    def _company(self, request: Request) -> Reply:
        told = {"Id": "1", "CompanyName": "Acme"}
        return Reply.json({"CompanyInfo": told, "time": self.instant()})

    def _one(self, request: Request) -> Reply:
        entity = self._entity(request.places["entity"])
        held = self.objects[entity].get(request.places["id"])
        if held is None:
            raise refuse("610", "Object Not Found")
        return Reply.json({entity: held, "time": self.instant()})

    def _entity(self, path: str) -> str:
        for name in NAMES:
            if name.lower() == path:
                return name
        raise refuse("500", "Unsupported Operation", f"{path} is not supported")

    def _query(self, request: Request) -> Reply:
        asked = QUERY.fullmatch(request.params.get("query", ""))
        if asked is None:
            raise refuse("4000", "Error parsing query", "QueryParserError")
        if asked["entity"] not in NAMES:
            raise refuse("4000", "Error parsing query", f"invalid context {asked['entity']}")
        start, most = int(asked["start"] or 1), int(asked["most"] or 100)
        if start < 1 or most > self.largest:
            raise refuse("4002", "Error validating query", "STARTPOSITION or MAXRESULTS")
        wanted = conditions(asked["where"])
        found = [one for one in self.objects[asked["entity"]].values() if fits(one, wanted)]
        if asked["entity"] in LISTS and not any(name == "Active" for name, _, _ in wanted):
            found = [one for one in found if one.get("Active", True)]
        by = asked["by"] or "Id"
        found.sort(key=lambda one: comparable(at(one, by)), reverse=asked["way"] == "DESC")
        page = found[start - 1 : start - 1 + most]
        inside = {asked["entity"]: page, "startPosition": start, "maxResults": len(page)}
        return Reply.json({"QueryResponse": inside if page else {}, "time": self.instant()})

    def _cdc(self, request: Request) -> Reply:
        since = datetime.fromisoformat(request.params["changedSince"])
        if since < self.clock() - timedelta(days=30):
            raise refuse("4001", "changedSince lies more than 30 days back")
        answers, room = [], self.largest
        for entity in request.params["entities"].split(","):
            if entity not in NAMES:
                raise refuse("4001", "Invalid Entity", entity)
            tombstones = [one for name, one in self.deleted if name == entity]
            changed = [
                one
                for one in (*self.objects[entity].values(), *tombstones)
                if datetime.fromisoformat(one["MetaData"]["LastUpdatedTime"]) >= since
            ][:room]
            room -= len(changed)
            answers.append({entity: changed} if changed else {})
        body = {"CDCResponse": [{"QueryResponse": answers}], "time": self.instant()}
        return Reply.json(body)

    # Writing

    def _write(self, request: Request) -> Reply:
        entity = self._entity(request.places["entity"])
        request_id = request.params.get("requestid")
        if request_id is not None and len(request_id) > 50:
            raise refuse("4001", "requestid is too long")
        if request_id in self.replays:
            return self.replays[request_id]
        body = json.loads(request.body)
        operation = request.params.get("operation")
        held = self.objects[entity].get(body.get("Id", ""))
        if "Id" in body:
            if held is None:
                raise refuse("610", "Object Not Found", f"{entity} {body['Id']}")
            if body.get("SyncToken") != held["SyncToken"]:
                raise refuse("5010", "Stale Object Error", "another user changed it")
        if operation == "void" or request.params.get("include") == "void":
            stored = self.store(entity, voided(held))
        elif operation == "delete":
            self.remove(entity, body["Id"])
            stored = {"Id": body["Id"], "status": "Deleted"}
        else:
            whole = {**held, **body} if held and body.get("sparse") else body
            self.validate(entity, whole)
            stored = self.store(entity, whole)
        reply = Reply.json({entity: stored, "time": self.instant()})
        if request_id is not None:
            self.replays[request_id] = reply
        return reply

"""QuickBooks Online as far as we speak to it: a real server on loopback that keeps its rules.

Law: what it accepts, Intuit would; what is only believed of Intuit is refused here where
that is the stricter way.
"""

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from connectors.testing.fake_api import FakeApi, Reply, Request, Route
from tests.providers.intuit import CLIENT, REALM, SECRET, Intuit
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

NAMES = (
    *("Customer", "Item", "Invoice", "SalesReceipt", "Payment", "Bill", "Account"),
    *("RefundReceipt", "CreditMemo"),
)
NUMBERED = ("Invoice", "SalesReceipt", "RefundReceipt", "CreditMemo")
PAYS = ("Bank", "Other Current Asset")
"""Types of accounts that money may be given back from."""
LISTS = ("Customer", "Item", "Account")


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
class QuickBooks(Intuit):
    """One company, and Intuit's token server."""

    api: FakeApi = field(init=False)
    objects: dict[str, dict[str, dict]] = field(init=False)
    deleted: list[tuple[str, dict]] = field(default_factory=list)
    replays: dict[str, Reply] = field(default_factory=dict)
    calls: deque = field(default_factory=deque)
    most_a_minute: int = 500
    largest: int = 1000
    unique_numbers: bool = True
    in_flight: int = 0
    most_in_flight: int = 0
    hold: Callable[[], object] = lambda: None
    number: int = 0

    def __post_init__(self) -> None:
        self.objects = {name: {} for name in NAMES}
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

    # What a person does in the company

    def put(self, entity: str, **fields: Any) -> dict:
        """Create or change an object behind our back."""
        with self.lock:
            held = self.objects[entity].get(str(fields.get("Id", "")))
            return self._store(entity, {**(held or {}), **fields}, changed=fields.get("MetaData"))

    def remove(self, entity: str, identity: str) -> None:
        """Delete an object: only change data capture tells of it."""
        with self.lock:
            gone = self.objects[entity].pop(identity)
            meta = {"LastUpdatedTime": self._now()}
            tombstone = {"Id": gone["Id"], "status": "Deleted", "domain": "QBO", "MetaData": meta}
            self.deleted.append((entity, tombstone))

    def all(self, entity: str) -> list[dict]:
        return list(self.objects[entity].values())

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
        return Reply.json({"CompanyInfo": {"Id": "1", "CompanyName": "Acme"}, "time": self._now()})

    def _one(self, request: Request) -> Reply:
        entity = self._entity(request.places["entity"])
        held = self.objects[entity].get(request.places["id"])
        if held is None:
            raise refuse("610", "Object Not Found")
        return Reply.json({entity: held, "time": self._now()})

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
        return Reply.json({"QueryResponse": inside if page else {}, "time": self._now()})

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
        body = {"CDCResponse": [{"QueryResponse": answers}], "time": self._now()}
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
            stored = self._store(entity, voided(held))
        elif operation == "delete":
            self.remove(entity, body["Id"])
            stored = {"Id": body["Id"], "status": "Deleted"}
        else:
            whole = {**held, **body} if held and body.get("sparse") else body
            self._validate(entity, whole)
            stored = self._store(entity, whole)
        reply = Reply.json({entity: stored, "time": self._now()})
        if request_id is not None:
            self.replays[request_id] = reply
        return reply

    def _validate(self, entity: str, body: dict) -> None:
        if entity == "Customer":
            self._unique("Customer", "DisplayName", body)
        elif entity == "Item":
            if not body.get("Name") or "IncomeAccountRef" not in body:
                raise refuse("2020", "Required param missing", "Name, IncomeAccountRef")
            self._refer("Account", body["IncomeAccountRef"])
            self._unique("Item", "Name", body)
        elif entity == "Payment":
            self._refer("Customer", body.get("CustomerRef"))
            for line in body.get("Line", ()):
                for linked in line.get("LinkedTxn", ()):
                    self._refer("Invoice", {"value": linked["TxnId"]})
        else:
            self._document(entity, body)

    def _document(self, entity: str, body: dict) -> None:
        if entity == "RefundReceipt":
            account = self._refer("Account", body.get("DepositToAccountRef"))
            if account["AccountType"] not in PAYS:
                raise refuse("6000", "A business validation error has occurred", "account type")
        if entity in ("Invoice", "CreditMemo") or "CustomerRef" in body:
            self._refer("Customer", body.get("CustomerRef"))
        lines = [one for one in body.get("Line", ()) if one["DetailType"] != "SubTotalLineDetail"]
        if not lines:
            raise refuse("2020", "Required param missing", "Line")
        for line in lines:
            detail = line["SalesItemLineDetail"]
            self._refer("Item", detail.get("ItemRef"))
            amount = Decimal(str(detail["Qty"])) * Decimal(str(detail["UnitPrice"]))
            if round(amount, 2) != Decimal(str(line["Amount"])):
                raise refuse("6070", "Amount calculation incorrect", "Qty * UnitPrice")
        number = body.get("DocNumber")
        if number and len(number) > 21:
            raise refuse("2050", "DocNumber is too long")
        twins = [
            one
            for one in self.objects[entity].values()
            if one.get("DocNumber") == number and one["Id"] != body.get("Id")
        ]
        if number and twins and self.unique_numbers:
            raise refuse("6140", "Duplicate Document Number Error", f"DocNumber={number}")

    def _unique(self, entity: str, name: str, body: dict) -> None:
        wanted = (body.get(name) or "").strip().lower()
        if not wanted or any(bad in wanted for bad in ":\t\n"):
            raise refuse("6000", "A business validation error has occurred", f"bad {name}")
        for one in self.objects[entity].values():
            if one[name].lower() == wanted and one["Id"] != body.get("Id"):
                raise refuse("6240", "Duplicate Name Exists Error", f"Id={one['Id']}")

    def _refer(self, entity: str, ref: dict | None) -> dict:
        if ref is None:
            raise refuse("2020", "Required param missing", f"{entity}Ref")
        if ref["value"] not in self.objects[entity]:
            raise refuse("2500", "Invalid Reference Id", f"{entity} {ref['value']}")
        return self.objects[entity][ref["value"]]

    def _store(self, entity: str, body: dict, changed: dict | None = None) -> dict:
        self.number += 1
        identity = body.get("Id") or str(self.number)
        held = self.objects[entity].get(identity)
        token = str(int(held["SyncToken"]) + 1) if held else "0"
        created = held["MetaData"]["CreateTime"] if held else self._now()
        meta = {"CreateTime": created, "LastUpdatedTime": self._now(), **(changed or {})}
        stored = {**body, "Id": identity, "SyncToken": token, "MetaData": meta}
        stored.pop("sparse", None)
        if entity in LISTS:
            stored.setdefault("Active", True)
        if entity in NUMBERED and "Line" in stored and entity != "Bill":
            stored = totalled(stored)
        self.objects[entity][identity] = stored
        if entity == "Payment":
            self._settle(stored)
        return stored

    def _settle(self, payment: dict) -> None:
        for line in payment.get("Line", ()):
            for linked in line.get("LinkedTxn", ()):
                invoice = self.objects["Invoice"][linked["TxnId"]]
                self.objects["Invoice"][linked["TxnId"]] = {
                    **invoice,
                    "Balance": round(invoice["Balance"] - line["Amount"], 2),
                    "SyncToken": str(int(invoice["SyncToken"]) + 1),
                }

    def _now(self) -> str:
        return self.clock().isoformat(timespec="seconds").replace("+00:00", "Z")


def totalled(document: dict) -> dict:
    """With the line that QuickBooks adds, its sum, and what is still to be paid."""
    lines = [one for one in document["Line"] if one["DetailType"] != "SubTotalLineDetail"]
    whole = sum(Decimal(str(one["Amount"])) for one in lines)
    tax = Decimal(str((document.get("TxnTaxDetail") or {}).get("TotalTax", 0)))
    total = float(whole + tax)
    subtotal = {"Amount": float(whole), "DetailType": "SubTotalLineDetail"}
    return {**document, "Line": [*lines, subtotal], "TotalAmt": total, "Balance": total}


def voided(document: dict) -> dict:
    """Still there, worth nothing."""
    lines = [
        {**line, "Amount": 0, "SalesItemLineDetail": {**line["SalesItemLineDetail"], "Qty": 0}}
        for line in document["Line"]
        if line["DetailType"] == "SalesItemLineDetail"
    ]
    note = f"Voided {document.get('PrivateNote', '')}".strip()
    return {**document, "Line": lines, "PrivateNote": note, "TxnTaxDetail": {"TotalTax": 0}}

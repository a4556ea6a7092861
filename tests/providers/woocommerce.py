"""A WooCommerce shop on loopback, as strict as the real one.

What is not in a shop's documentation is in its code: unknown parameters are ignored, known
ones are checked; a zone in a time is turned into the shop's; the modified filter is
exclusive, by whole seconds, and not there for customers; keys are refused over plain HTTP.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from connectors.testing.fake_api import FakeApi, Reply, Request

KEY, SECRET = "ck_reading", "cs_very&secret"
ROOT = "/wp-json/wc/v3"
MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d(:\d\d)?)?")
ORDERS_BY = {
    "customers": ("id", "include", "name", "registered_date"),
    "orders": ("date", "id", "include", "title", "slug", "modified"),
}
NAMES = ("orders", "customers", "products", "coupons")


def refused(code: str, message: str, status: int) -> Reply:
    body = {"code": code, "message": message, "data": {"status": status}}
    return Reply.json(body, status=status)


def gmt(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


@dataclass(slots=True)
class WooShop:
    """The shop; ``offset`` is its zone. Records are kept by list and id."""

    api: FakeApi
    offset: timedelta = timedelta(hours=2)
    held: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    refunds: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    variations: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    nonces: set[str] = field(default_factory=set)
    behind_tls: bool = False

    def __post_init__(self) -> None:
        self.api.guard = self._guard
        for name in NAMES:
            self.held[name] = {}
            self.api.route("GET", f"{ROOT}/{name}", partial(self._list, name))
            self.api.route("DELETE", f"{ROOT}/{name}/{{id}}", partial(self._delete, name))
        for name, below, held in (
            ("orders", "refunds", self.refunds),
            ("products", "variations", self.variations),
        ):
            route = partial(self._below, name, held)
            self.api.route("GET", f"{ROOT}/{name}/{{id}}/{below}", route)

    # What happens in the shop

    def put(self, name: str, identity: int, modified: datetime | None, /, **fields: Any) -> None:
        """Create or change a record; its children are listed in it."""
        before = self.held[name].get(identity, {})
        at = None if modified is None else gmt(modified)
        created = before.get("date_created_gmt", at)
        status = {"status": "processing" if name == "orders" else "publish"}
        roles = {"role": "customer"} if name == "customers" else status
        known = {"id": identity, "date_created_gmt": created, **roles, **before, **fields}
        self.held[name][identity] = {**known, "date_modified_gmt": at}

    def refund(
        self, order: int, identity: int, amount: str, at: datetime, /, **fields: Any
    ) -> None:
        """Refund a part of an order, which changes the order."""
        known = {"id": identity, "amount": amount, "reason": "", "date_created_gmt": gmt(at)}
        made = {**known, **fields}
        self.refunds.setdefault(order, []).append(made)
        listed = [{"id": one["id"], "total": f"-{one['amount']}"} for one in self.refunds[order]]
        self.put("orders", order, at, refunds=listed)

    def vary(self, product: int, identity: int, at: datetime, **fields: Any) -> None:
        """Add a variation to a product, which changes the product."""
        made = {"id": identity, "date_modified_gmt": gmt(at), **fields}
        self.variations.setdefault(product, []).append(made)
        ids = [one["id"] for one in self.variations[product]]
        self.put("products", product, at, variations=ids, type="variable")

    def trash(self, name: str, identity: int, at: datetime) -> None:
        """Move a record to the trash, where it no longer counts as any."""
        if identity in self.held[name]:
            self.put(name, identity, at, status="trash")

    def remove(self, name: str, identity: int) -> None:
        """Delete for good."""
        self.held[name].pop(identity, None)

    # Who calls

    def _guard(self, request: Request) -> Reply | None:
        wrong = refused("woocommerce_rest_cannot_view", "Sorry, you cannot list resources.", 401)
        encrypted = self.behind_tls or request.headers.get("x-forwarded-proto") == "https"
        if encrypted:
            said = request.headers.get("authorization", "").removeprefix("Basic ")
            return None if base64.b64decode(said).decode() == f"{KEY}:{SECRET}" else wrong
        return None if self._signed(request) else wrong

    def _signed(self, request: Request) -> bool:
        """OAuth 1.0a as a shop checks it: parameters sorted, each nonce once, of 15 minutes."""
        params = dict(request.params)
        said = params.pop("oauth_signature", "")
        nonce = params.get("oauth_nonce", "")
        signed_at = float(params.get("oauth_timestamp", "0"))
        pairs = "&".join(
            f"{quote(name, safe='-._~')}={quote(value, safe='-._~')}"
            for name, value in sorted(params.items())
        )
        address = f"http://{request.headers['host']}{request.path}"
        text = "&".join(quote(part, safe="-._~") for part in (request.method, address, pairs))
        digest = hmac.new(f"{quote(SECRET, safe='')}&".encode(), text.encode(), hashlib.sha256)
        right = (
            params.get("oauth_consumer_key") == KEY
            and params.get("oauth_signature_method") == "HMAC-SHA256"
            and hmac.compare_digest(base64.b64encode(digest.digest()).decode(), said)
            and nonce not in self.nonces
            and abs(signed_at - self.api.clock().timestamp()) <= 15 * 60
        )
        self.nonces.add(nonce)
        return right

    # Lists

    def _list(self, name: str, request: Request) -> Reply:
        params = request.params
        wrong = self._wrong(name, params)
        if wrong is not None:
            return refused("rest_invalid_param", f"Invalid parameter(s): {wrong}", 400)
        found = [one for one in self.held[name].values() if self._wanted(name, one, params)]
        orderby = params.get("orderby", "name" if name == "customers" else "date")
        found.sort(key=lambda one: _place(one, orderby))
        if params.get("order", "asc" if name == "customers" else "desc") == "desc":
            found.reverse()
        return self._page(found, request)

    def _page(self, found: Sequence[Mapping[str, Any]], request: Request) -> Reply:
        params = request.params
        size, page = int(params.get("per_page", "10")), int(params.get("page", "1"))
        pages = -(-len(found) // size)
        links = []
        for rel, number in (("prev", page - 1), ("next", page + 1)):
            if 1 <= number <= pages:
                asked = urlencode({**params, "page": number})
                links.append(f'<{self.api.url}{request.path}?{asked}>; rel="{rel}"')
        records = [dict(one) for one in found[(page - 1) * size : page * size]]
        if "_fields" in params:
            fields = params["_fields"].split(",")
            records = [{name: one[name] for name in fields if name in one} for one in records]
        totals = {"X-WP-Total": str(len(found)), "X-WP-TotalPages": str(pages)}
        return Reply.json(records, headers=totals | ({"Link": ", ".join(links)} if links else {}))

    def _wrong(self, name: str, params: Mapping[str, str]) -> str | None:
        for number, most in (("per_page", 100), ("page", 10**9)):
            said = params.get(number, "1")
            if not said.isdigit() or not 1 <= int(said) <= most:
                return number
        if params.get("orderby", "id") not in ORDERS_BY.get(name, ORDERS_BY["orders"]):
            return "orderby"
        if params.get("order", "asc") not in ("asc", "desc"):
            return "order"
        for moment in () if name == "customers" else ("modified_after", "modified_before"):
            if moment in params and not MOMENT.fullmatch(params[moment]):
                return moment
        return None

    def _wanted(self, name: str, one: Mapping[str, Any], params: Mapping[str, str]) -> bool:
        if "include" in params and str(one["id"]) not in params["include"].split(","):
            return False
        if name == "customers":
            # No time is looked at here, whatever is asked.
            return params.get("role", "customer") in ("all", one["role"])
        status = params.get("status", "any")
        if status != one["status"] and (status != "any" or one["status"] == "trash"):
            return False
        at = datetime.fromisoformat(one["date_modified_gmt"])
        if params.get("dates_are_gmt") != "true":
            at += self.offset
        after = params.get("modified_after")
        before = params.get("modified_before")
        if after is not None and at <= self._shop_time(after):
            return False
        return before is None or at < self._shop_time(before)

    def _shop_time(self, text: str) -> datetime:
        """As WordPress reads a bound: into the shop's zone, without fractions."""
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            moment = moment.astimezone(timezone(self.offset))
        return moment.replace(tzinfo=None, microsecond=0)

    def _below(self, of: str, held: Mapping[int, list[dict[str, Any]]], request: Request) -> Reply:
        parent = int(request.places["id"])
        if parent not in self.held[of]:
            return refused(f"woocommerce_rest_{of}_invalid_id", "Invalid ID.", 404)
        return self._page(sorted(held.get(parent, []), key=lambda one: one["id"]), request)

    def _delete(self, name: str, request: Request) -> Reply:
        identity = int(request.places["id"])
        one = self.held[name].get(identity)
        if one is None:
            return refused("woocommerce_rest_invalid_id", "Invalid ID.", 404)
        if request.params.get("force") == "true":
            return Reply.json(self.held[name].pop(identity))
        if name == "customers":
            return refused("woocommerce_rest_trash_not_supported", "No trash.", 501)
        if one["status"] == "trash":
            return refused("woocommerce_rest_already_trashed", "Already deleted.", 410)
        self.trash(name, identity, self.api.clock())
        return Reply.json(one)


def _place(one: Mapping[str, Any], orderby: str) -> tuple[str, int]:
    by = {"modified": "date_modified_gmt", "date": "date_created_gmt"}
    said = one.get(by.get(orderby, "")) if orderby in by else ""
    return (said or "", one["id"])

"""The webhooks of a `WooShop`, as its code has them: ``class-wc-webhook.php``.

A new one is tried out by a form that nothing signs. What a delivery is called is made of the
webhook and the second. Nothing is sent again; after more than five failures in a row the
webhook is disabled, and who enables it by the API does not set the count back.
"""

import hashlib
import hmac
import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from connectors.testing.fake_api import Reply, Request
from tests.providers.woocommerce import ROOT, WooShop, refused

MOST_FAILURES = 5
STATUSES = ("active", "paused", "disabled")


@dataclass(slots=True)
class ShopHooks:
    """What is registered, by id. With ``read_only`` the key may read and nothing else."""

    shop: WooShop
    held: dict[int, dict[str, Any]] = field(default_factory=dict)
    failures: dict[int, int] = field(default_factory=dict)
    pinged: list[int] = field(default_factory=list)
    read_only: bool = False

    def __post_init__(self) -> None:
        api = self.shop.api
        api.route("GET", f"{ROOT}/webhooks", self._list)
        api.route("POST", f"{ROOT}/webhooks", self._create)
        api.route("PUT", f"{ROOT}/webhooks/{{id}}", self._update)

    def register(self, topic: str, url: str, secret: str) -> int:
        """As a person does it in the shop's pages; the new one's id."""
        identity = len(self.held) + 1
        self.held[identity] = {
            "id": identity,
            "name": topic,
            "status": "active",
            "topic": topic,
            "delivery_url": url,
            "secret": secret,
        }
        self.failures[identity] = 0
        self.pinged.append(self._post(identity, f"webhook_id={identity}".encode(), {}))
        return identity

    def tell(self, topic: str, record: Mapping[str, Any]) -> list[int]:
        """Something happened: deliver it to whom it concerns; the answers, 0 where none came."""
        answers = []
        for identity, hook in self.held.items():
            if hook["status"] == "active" and hook["topic"] == topic:
                answers.append(self._deliver(identity, topic, record))
        return answers

    def status(self, identity: int) -> str:
        return str(self.held[identity]["status"])

    def _deliver(self, identity: int, topic: str, record: Mapping[str, Any]) -> int:
        resource, _, event = topic.partition(".")
        body = json.dumps({"id": record["id"]} if event == "deleted" else dict(record)).encode()
        secret = self.held[identity]["secret"].encode()
        second = int(self.shop.api.clock().timestamp())
        headers = {
            "Content-Type": "application/json",
            "X-WC-Webhook-Source": f"{self.shop.api.url}/",
            "X-WC-Webhook-Topic": topic,
            "X-WC-Webhook-Resource": resource,
            "X-WC-Webhook-Event": event,
            "X-WC-Webhook-Signature": b64encode(
                hmac.new(secret, body, hashlib.sha256).digest()
            ).decode(),
            "X-WC-Webhook-ID": str(identity),
            "X-WC-Webhook-Delivery-ID": hashlib.md5(f"{identity}{second}".encode()).hexdigest(),
        }
        status = self._post(identity, body, headers)
        if 200 <= status < 303:
            self.failures[identity] = 0
        elif self.failures[identity] > MOST_FAILURES:
            self.held[identity]["status"] = "disabled"
        else:
            self.failures[identity] += 1
        return status

    def _post(self, identity: int, body: bytes, headers: Mapping[str, str]) -> int:
        agent = {"User-Agent": "WooCommerce/10.1 Hookshot (WordPress/6.9)", **headers}
        if "Content-Type" not in agent:
            agent["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            url = self.held[identity]["delivery_url"]
            return httpx.post(url, content=body, headers=agent, timeout=60).status_code
        except httpx.TransportError:
            return 0

    # The REST API

    def _list(self, request: Request) -> Reply:
        wanted = request.params.get("status", "all")
        if wanted != "all" and wanted not in STATUSES:
            return refused("rest_invalid_param", "Invalid parameter(s): status", 400)
        size, page = int(request.params.get("per_page", 10)), int(request.params.get("page", 1))
        if not 1 <= size <= 100:
            return refused("rest_invalid_param", "Invalid parameter(s): per_page", 400)
        found = [_shown(one) for one in self.held.values() if wanted in ("all", one["status"])]
        return Reply.json(found[(page - 1) * size : page * size])

    def _create(self, request: Request) -> Reply:
        asked = request.json()
        if self.read_only:
            return _not_allowed()
        if "." not in asked.get("topic", ""):
            return refused("woocommerce_rest_shop_webhook_invalid_topic", "Topic is required.", 400)
        identity = self.register(asked["topic"], asked["delivery_url"], asked["secret"])
        return Reply.json(_shown(self.held[identity]), status=201)

    def _update(self, request: Request) -> Reply:
        hook = self.held.get(int(request.places["id"]))
        status = request.json().get("status")
        if self.read_only:
            return _not_allowed()
        if hook is None:
            return refused("woocommerce_rest_shop_webhook_invalid_id", "ID is invalid.", 400)
        if status not in STATUSES:
            return refused("woocommerce_rest_shop_webhook_invalid_status", "Not valid.", 400)
        hook["status"] = status
        return Reply.json(_shown(hook))


def _shown(hook: Mapping[str, Any]) -> dict[str, Any]:
    """Without its secret, which the shop does not tell."""
    return {name: value for name, value in hook.items() if name != "secret"}


def _not_allowed() -> Reply:
    said = "The API key provided does not have write permissions."
    return refused("woocommerce_rest_authentication_error", said, 401)

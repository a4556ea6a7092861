"""The connector ``stripe``: charges, customers, invoices, subscriptions, payouts and events."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from connectors.contract import Source
from connectors.errors import ConfigError, ConnectorError, TransientError
from connectors.http.redact import shown_url
from connectors.registry import Connector
from connectors.surroundings import Rate

if TYPE_CHECKING:
    from connectors.http.call import Answer
    from connectors.rest.spec import Api, StreamSpec

VERSION = "2026-10-28.endive"
"""The version of Stripe's API whose shapes the columns were declared by."""

LIVE, TEST = Rate(calls=80), Rate(calls=20)
"""Below what Stripe allows: other programs of the account call, too."""


class StripeConfig(BaseModel):
    """An account by a key that may read.

    ``late_seconds``: how far back events are asked for again, for those that showed late.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    api_key: SecretStr
    account: str | None = None
    late_seconds: int = Field(default=10, ge=0, le=3600)
    base_url: str = "https://api.stripe.com"
    allow_private_addresses: bool = False

    @field_validator("api_key")
    @classmethod
    def _secret_key(cls, key: SecretStr) -> SecretStr:
        if not key.get_secret_value().startswith(("rk_", "sk_")):
            raise ValueError("a restricted key begins with rk_; make one with read permissions")
        return key


def api_of(config: StripeConfig) -> Api:
    """The spec of one account."""
    from connectors.http.client import Limits
    from connectors.rest.auth import BearerAuth
    from connectors.rest.spec import Api

    key = config.api_key.get_secret_value()
    account = (("Stripe-Account", config.account),) if config.account else ()
    return Api(
        title="Stripe",
        base_url=f"{config.base_url.rstrip('/')}/v1",
        streams=streams(),
        auth=BearerAuth(token=key),
        limits=Limits(rate=LIVE if key[3:].startswith("live_") else TEST),
        headers=(("Stripe-Version", VERSION), *account),
        judge=judge,
        allow_private=config.allow_private_addresses,
    )


class GoneError(ConfigError):
    """There is no such object, or no longer."""


def judge(answer: Answer) -> ConnectorError | None:
    """409 is a lock that somebody else holds: it passes, unless Stripe says that it does not.

    So does a page that cannot go on, because the object at its edge was deleted meanwhile.
    """
    if answer.status == 404:
        return GoneError(f"Stripe has nothing at {shown_url(answer.url)} (404)")
    if answer.status == 400 and b'"resource_missing"' in answer.content:
        return TransientError("Stripe's list changed while its pages were read (400)")
    if answer.status == 409 and answer.headers.get("stripe-should-retry") != "false":
        return TransientError("Stripe is busy with the same object (409)")
    return None


def streams(size: int = 100) -> tuple[StreamSpec, ...]:
    """What an account has; ``size`` objects a page."""
    from connectors.rest.columns import declared
    from connectors.rest.incremental import Incremental, Spelling
    from connectors.rest.pages import KeysetPages
    from connectors.rest.spec import StreamSpec

    pages = KeysetPages(param="starting_after", key="id", size=size, more="has_more")

    def listed(name: str, **columns: str) -> StreamSpec:
        known = {kind: columns.get(kind, "").split() for kind in {*columns, *KNOWN}}
        merged = {kind: " ".join([*KNOWN.get(kind, ()), *said]) for kind, said in known.items()}
        return StreamSpec(
            name=name,
            path=name,
            records="data",
            pages=pages,
            columns=tuple(sorted(declared(**merged), key=lambda column: column.name != "id")),
            params={"status": "all"} if name == "subscriptions" else {},
        )

    created = Incremental(field="created", param="created[gte]", spelling=Spelling.EPOCH)
    events = StreamSpec(
        name="events",
        path="events",
        records="data",
        pages=pages,
        columns=declared(
            text="id type api_version",
            epoch="created",
            boolean="livemode",
            integer="pending_webhooks",
            json="data request",
        ),
        incremental=created,
        note="Stripe keeps events for 30 days",
    )
    return (*(listed(name, **columns) for name, columns in OBJECTS.items()), events)


AS_OF, DELETED = "as_of", "deleted"
KNOWN = {
    "text": ("id",),
    "epoch": ("created", AS_OF),
    "boolean": ("livemode", DELETED),
    "json": ("metadata",),
}
OBJECTS = {
    "charges": {
        "text": "status currency customer payment_intent payment_method invoice "
        "balance_transaction description failure_code failure_message receipt_email "
        "statement_descriptor",
        "integer": "amount amount_captured amount_refunded",
        "boolean": "paid captured refunded disputed",
        "json": "billing_details outcome payment_method_details",
    },
    "customers": {
        "text": "name email phone description currency invoice_prefix default_source tax_exempt",
        "integer": "balance",
        "boolean": "delinquent",
        "json": "address shipping invoice_settings discount preferred_locales",
    },
    "invoices": {
        "text": "number status currency customer customer_email customer_name collection_method "
        "billing_reason description hosted_invoice_url",
        "integer": "amount_due amount_paid amount_remaining subtotal total attempt_count",
        "boolean": "attempted auto_advance",
        "epoch": "due_date period_start period_end",
        "json": "lines status_transitions parent total_taxes total_discount_amounts",
    },
    "subscriptions": {
        "text": "status customer currency collection_method default_payment_method "
        "latest_invoice description",
        "boolean": "cancel_at_period_end",
        "epoch": "start_date cancel_at canceled_at ended_at trial_start trial_end "
        "billing_cycle_anchor",
        "json": "items cancellation_details discounts",
    },
    "payouts": {
        "text": "status currency type method destination balance_transaction description "
        "failure_code failure_message statement_descriptor",
        "integer": "amount",
        "boolean": "automatic",
        "epoch": "arrival_date",
    },
}


def _source(config: StripeConfig) -> Source:
    from connectors.providers.stripe_source import StripeSource

    late = timedelta(seconds=config.late_seconds)
    return StripeSource(api=api_of(config), late=late)


CONNECTOR = Connector(
    name="stripe",
    title="Stripe",
    config=StripeConfig,
    source=_source,
    place=lambda config: f"stripe:{config.account or config.api_key.get_secret_value()[:7]}",
)

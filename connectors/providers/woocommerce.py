"""The connector ``woocommerce``: a shop's orders, refunds, customers, products and coupons.

Laws:

* Times are asked for in GMT and without a zone: WordPress turns a zone into the shop's own,
  and then compares that with GMT (``WP_Date_Query::build_mysql_datetime``).
* Over plain HTTP nothing but OAuth 1.0a is sent; the shop would take nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from connectors.contract import Source
from connectors.http.redact import shown_url
from connectors.registry import Connector

if TYPE_CHECKING:
    from connectors.rest.records import Record
    from connectors.rest.spec import Api, StreamSpec

PAGE = 100
"""The most that a shop gives at once; it refuses to be asked for more."""

MODIFIED = "date_modified_gmt"
BEING_THE_PARENT_S = "they are asked for where the {} changed; read everything now and then"


class WooCommerceConfig(BaseModel):
    """A shop by its address, and a key of the REST API with permission to read."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    store_url: str
    consumer_key: SecretStr
    consumer_secret: SecretStr
    concurrency: int = Field(default=2, ge=1, le=16)
    allow_private_addresses: bool = False

    @field_validator("store_url")
    @classmethod
    def _address(cls, url: str) -> str:
        if not url.startswith(("https://", "http://")):
            raise ValueError("write the shop's address, as https://shop.example")
        return url.rstrip("/")


def api_of(config: WooCommerceConfig) -> Api:
    """The spec of one shop."""
    from connectors.http.client import Limits
    from connectors.rest.auth import BasicAuth, OAuth1
    from connectors.rest.spec import Api

    key = config.consumer_key.get_secret_value()
    secret = config.consumer_secret.get_secret_value()
    encrypted = config.store_url.startswith("https://")
    return Api(
        title="WooCommerce",
        base_url=f"{config.store_url}/wp-json/wc/v3",
        streams=streams(),
        auth=BasicAuth(user=key, password=secret) if encrypted else OAuth1(key=key, secret=secret),
        limits=Limits(
            concurrency=config.concurrency,
            together=config.concurrency if "concurrency" in config.model_fields_set else None,
        ),
        allow_private=config.allow_private_addresses,
    )


def streams(size: int = PAGE) -> tuple[StreamSpec, ...]:
    """What a shop has; ``size`` records a page."""
    from connectors.rest.columns import declared
    from connectors.rest.incremental import Incremental, Spelling
    from connectors.rest.pages import Counted, NumberedPages
    from connectors.rest.spec import Parent, StreamSpec

    pages = NumberedPages(size=size, total=Counted(header="X-WP-TotalPages", pages=True))
    by_id = {"orderby": "id", "order": "asc"}
    modified = Incremental(
        field=MODIFIED,
        param="modified_after",
        spelling=Spelling.ISO_UTC,
        exclusive=True,
        ordered=True,
        params={"dates_are_gmt": True, "orderby": "modified", "order": "asc"},
    )
    unfiltered = Incremental(field=MODIFIED, exclusive=True, params=by_id)

    def listed(name: str, asked: Incremental, **columns: str) -> StreamSpec:
        params = {"role": "all"} if name == "customers" else {"status": "any"}
        return StreamSpec(
            name=name,
            path=name,
            pages=pages,
            columns=declared(**columns),
            incremental=asked,
            params={} if name == "coupons" else params,
            edit=_priced if name in ("products", "coupons") else None,
        )

    def nested(name: str, of: str, having: str, **columns: str) -> StreamSpec:
        one = of.removesuffix("s")
        copied = {f"{one}_id": "id", f"{one}_{MODIFIED}": MODIFIED}
        columns["integer"] += f" {one}_id"
        columns["timestamp"] += f" {one}_{MODIFIED}"
        return StreamSpec(
            name=name,
            path=f"{of}/{{id}}/{name}",
            pages=pages,
            columns=declared(**columns),
            params=by_id,
            parent=Parent(stream=of, copy=copied, cursor=f"{one}_{MODIFIED}", having=having),
            note=BEING_THE_PARENT_S.format(one),
            edit=_priced if name == "variations" else None,
        )

    def ids(of: str, **params: str) -> StreamSpec:
        return StreamSpec(
            name=f"{of}_ids",
            path=of,
            pages=pages,
            columns=declared(integer="id"),
            params={"_fields": "id", **by_id, **params},
            note=f"read in full into the table of {of}, with deletes, it finds what is gone",
        )

    return (
        listed("orders", modified, **ORDERS),
        nested("refunds", "orders", "refunds", **REFUNDS),
        listed("customers", unfiltered, **CUSTOMERS),
        listed("products", modified, **PRODUCTS),
        nested("variations", "products", "variations", **VARIATIONS),
        listed("coupons", modified, **COUPONS),
        ids("orders", status="any"),
        ids("customers", role="all"),
        ids("products", status="any"),
        ids("coupons"),
    )


DATES = f"date_created_gmt {MODIFIED}"
ORDERS = {
    "integer": "id parent_id customer_id",
    "text": "number status currency version order_key customer_note created_via payment_method "
    "payment_method_title transaction_id cart_hash customer_ip_address customer_user_agent",
    "decimal": "total total_tax discount_total discount_tax shipping_total shipping_tax cart_tax",
    "boolean": "prices_include_tax",
    "timestamp": f"{DATES} date_paid_gmt date_completed_gmt",
    "json": "billing shipping line_items tax_lines shipping_lines fee_lines coupon_lines refunds "
    "meta_data",
}
REFUNDS = {
    "integer": "id refunded_by",
    "text": "reason",
    "decimal": "amount",
    "boolean": "refunded_payment",
    "timestamp": "date_created_gmt",
    "json": "line_items tax_lines shipping_lines fee_lines meta_data",
}
CUSTOMERS = {
    "integer": "id",
    "text": "email first_name last_name role username avatar_url",
    "boolean": "is_paying_customer",
    "timestamp": DATES,
    "json": "billing shipping meta_data",
}
SOLD = {
    "integer": "id menu_order shipping_class_id download_limit download_expiry",
    "text": "sku name status description permalink tax_status tax_class stock_status backorders "
    "shipping_class weight",
    "decimal": "price regular_price sale_price stock_quantity",
    "boolean": "on_sale purchasable virtual downloadable",
    "timestamp": f"{DATES} date_on_sale_from_gmt date_on_sale_to_gmt",
    "json": "manage_stock dimensions attributes downloads meta_data",
}
PRODUCTS = {
    **SOLD,
    "integer": f"{SOLD['integer']} parent_id total_sales rating_count",
    "text": f"{SOLD['text']} slug type catalog_visibility short_description external_url "
    "average_rating",
    "boolean": f"{SOLD['boolean']} featured sold_individually reviews_allowed",
    "json": f"{SOLD['json']} categories tags images variations related_ids upsell_ids "
    "cross_sell_ids default_attributes grouped_products",
}
VARIATIONS = {**SOLD, "json": f"{SOLD['json']} image"}
COUPONS = {
    "integer": "id usage_count usage_limit usage_limit_per_user limit_usage_to_x_items",
    "text": "code status discount_type description",
    "decimal": "amount minimum_amount maximum_amount",
    "boolean": "individual_use free_shipping exclude_sale_items",
    "timestamp": f"{DATES} date_expires_gmt",
    "json": "product_ids excluded_product_ids product_categories excluded_product_categories "
    "email_restrictions used_by meta_data",
}
PRICES = f"{SOLD['decimal']} {COUPONS['decimal']}".split()


def _priced(record: Record) -> Record:
    """A price that was never set comes as an empty text."""
    unset = {name: None for name in PRICES if record.get(name) == ""}
    return {**record, **unset} if unset else record


def _source(config: WooCommerceConfig) -> Source:
    from connectors.rest.source import RestSource

    return RestSource(api=api_of(config))


CONNECTOR = Connector(
    name="woocommerce",
    title="WooCommerce",
    config=WooCommerceConfig,
    source=_source,
    place=lambda config: shown_url(config.store_url).rstrip("/"),
)

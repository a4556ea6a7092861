"""WooCommerce: the contract, whatever happens meanwhile, and what is particular to shops."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import ClassVar

import pytest

from connectors import registry
from connectors.contract import Encoding, Selection, SyncMode
from connectors.errors import AuthError, ConfigError, TransientError
from connectors.http.outside import Outside
from connectors.providers.woocommerce import WooCommerceConfig, api_of
from connectors.testing.fake_api import FakeApi, html_page, throttled
from connectors.testing.features import Feature
from connectors.testing.rows import at
from connectors.testing.source_suite import SourceContract
from tests.connectors.woocommerce_shop import WooProvider, config, opened
from tests.providers.laws import prove
from tests.providers.woocommerce import SECRET, WooShop


@pytest.fixture
def shop(api: FakeApi) -> WooShop:
    return WooShop(api)


@pytest.mark.parametrize("stream", ["orders", "customers"])
class TestAShop(SourceContract):
    lacks: ClassVar = {Feature.EMPTY_CURSOR: "every order was changed at some time"}

    def only_id(self, identity: int) -> str:
        return f"include={identity}"

    def spelled(self, moment: datetime) -> str:
        return moment.replace(microsecond=0).isoformat()

    @pytest.fixture
    def system(self, api: FakeApi, stream: str) -> WooProvider:
        return WooProvider(api, stream)


@pytest.mark.parametrize("stream", ["orders", "customers"])
def test_changes_faults_and_crashes_lose_nothing(api, stream):
    """R70, R152."""
    prove(
        api,
        lambda: WooProvider(api, stream),
        mode=SyncMode.INCREMENTAL,
        examples=25,
        deletes=False,
    )


@pytest.mark.parametrize("stream", ["orders", "customers"])
def test_a_full_read_after_changes_deletes_faults_and_crashes_is_the_shop(api, stream):
    prove(api, lambda: WooProvider(api, stream), mode=SyncMode.FULL, examples=15, deletes=True)


def read(source, name, *, mode=SyncMode.INCREMENTAL, state=None):
    selection = Selection(stream=source.stream(name), mode=mode)
    return list(source.read(selection, state, Encoding.ARROW))


def values(batches, column="id"):
    return [found for batch in batches for found in batch.data.column(column).to_pylist()]


def test_a_shop_east_of_greenwich_hides_no_change(api, shop):
    """WordPress would turn a bound with a zone into the shop's own, two hours ahead."""
    shop.put("orders", 1, at(0))
    with closing(opened(api)) as source:
        state = read(source, "orders")[-1].state
        shop.put("orders", 2, at(60))

        assert 2 in values(read(source, "orders", state=state))


def test_a_second_order_of_the_very_second_is_seen(api, shop):
    """Trap T6; the shop's own comparison is exclusive."""
    shop.put("orders", 1, at(0))
    with closing(opened(api)) as source:
        state = read(source, "orders")[-1].state
        shop.put("orders", 2, at(0))

        assert 2 in values(read(source, "orders", state=state))


def test_a_change_in_the_second_in_which_the_reading_began_is_seen_later(api):
    """The shop's times have no fractions, and its answer comes in the second after."""
    now = at(5.6)
    api.clock = lambda: now
    shop = WooShop(api)
    for number in range(4):
        shop.put("customers", number, at(0))

    def changed_while_it_answers(request, route):
        nonlocal now
        reply = route(request)
        shop.put("customers", 0, at(5.8))
        shop.put("customers", 9, at(8))
        now = at(6)
        return reply

    api.at(1, changed_while_it_answers)
    with closing(opened(api, outside=Outside(now=lambda: now))) as source:
        state = read(source, "customers")[-1].state
        now = at(60)

        assert 0 in values(read(source, "customers", state=state))


def test_refunds_come_where_an_order_changed_and_only_there(api, shop):
    for number in range(1, 5):
        shop.put("orders", number, at(number), refunds=[])
    shop.refund(2, 20, "1.50", at(10))
    with closing(opened(api)) as source:
        before = read(source, "refunds")
        shop.refund(3, 30, "29.35", at(20))
        api.requests.clear()
        after = read(source, "refunds", state=before[-1].state)

    assert values(before) == [20]
    assert 30 in values(after)
    assert values(after, "amount")[-1] == "29.35"
    assert values(after, "order_id")[-1] == 3
    asked = {request.path for request in api.requests if "refunds" in request.path}
    assert asked == {"/wp-json/wc/v3/orders/2/refunds", "/wp-json/wc/v3/orders/3/refunds"}


def test_variations_come_with_their_product(api, shop):
    shop.put("products", 1, at(1), price="", variations=[])
    shop.vary(2, 21, at(2), price="9.90")
    shop.vary(2, 22, at(3), price="")
    with closing(opened(api)) as source:
        found = read(source, "variations")
        products = read(source, "products")

    assert values(found) == [21, 22]
    assert values(found, "price") == ["9.90", None]
    assert set(values(found, "product_id")) == {2}
    assert values(products, "price") == [None, None]


def test_customers_of_every_role_are_read_and_what_is_older_is_left_out(api, shop):
    shop.put("customers", 1, at(0))
    shop.put("customers", 2, at(5), role="shop_manager")
    with closing(opened(api)) as source:
        state = read(source, "customers")[-1].state
        again = read(source, "customers", state=state)

    assert values(again) == [2]


def test_ids_alone_show_what_is_in_the_trash(api, shop):
    for number in range(1, 6):
        shop.put("orders", number, at(number))
    shop.trash("orders", 3, at(9))
    with closing(opened(api)) as source:
        assert values(read(source, "orders_ids", mode=SyncMode.FULL)) == [1, 2, 4, 5]

    assert all(request.params["_fields"] == "id" for request in api.requests)


def test_money_and_nested_values_keep_their_digits(api, shop):
    """Law 7."""
    shop.put("orders", 1, at(0), total="29.30", line_items=[{"id": 7, "price": 12.5}])
    with closing(opened(api)) as source:
        [batch] = read(source, "orders")

    assert values([batch], "total") == ["29.30"]
    assert Decimal(values([batch], "total")[0]) == Decimal("29.3")
    assert values([batch], "line_items") == ['[{"id":7,"price":12.5}]']
    assert values([batch], "date_modified_gmt")[0] == at(0).replace(microsecond=0)


def test_over_plain_http_the_key_s_secret_does_not_go_over_the_wire(api, shop):
    with closing(opened(api)) as source:
        source.check()

    [request] = api.requests
    assert "authorization" not in request.headers
    assert SECRET not in str(request)


def test_over_tls_basic_is_sent(api):
    spec = api_of(
        WooCommerceConfig(store_url="https://shop.example/", consumer_key="k", consumer_secret="s")
    )

    assert spec.base_url == "https://shop.example/wp-json/wc/v3"
    assert type(spec.auth).__name__ == "BasicAuth"


def test_a_wrong_secret_is_told_without_showing_it(api, shop):
    wrong = registry.get("woocommerce").open_source(config(api, consumer_secret="cs_wrong"))

    with pytest.raises(AuthError, match="cannot list") as told:
        wrong.check()

    assert "cs_wrong" not in str(told.value)
    wrong.close()


def test_a_store_without_a_scheme_is_refused():
    with pytest.raises(ConfigError, match=r"https://shop\.example"):
        registry.get("woocommerce").open_source(
            {"store_url": "shop.example", "consumer_key": "k", "consumer_secret": "s"}
        )


def test_a_shop_that_answers_with_pages_for_people_is_tried_again_later(api, shop):
    api.at(1, html_page, html_page)
    waited: list[float] = []
    source = opened(api, outside=Outside(sleep=waited.append))

    with closing(source), pytest.raises(TransientError, match="HTML"):
        source.check()

    assert len(waited) == 1


def test_what_a_shop_asks_to_wait_is_waited(api, shop):
    now = [at(0)]
    began = now[0]
    api.clock = lambda: now[0]
    api.at(1, throttled(retry_after="3"))

    def sleep(seconds):
        now[0] += timedelta(seconds=seconds)

    with closing(opened(api, outside=Outside(now=lambda: now[0], sleep=sleep))) as source:
        source.check()

    assert now[0] - began >= timedelta(seconds=3)


@pytest.mark.parametrize(
    "ahead", [timedelta(minutes=-20), timedelta(minutes=20), timedelta(days=9)]
)
def test_a_shop_whose_clock_or_ours_is_wrong_is_asked_again_at_its_time(api, shop, ahead):
    """Over plain HTTP the time is signed, and a shop takes that of 15 minutes only."""
    api.clock = lambda: datetime.now(UTC) + ahead
    shop.put("orders", 1, at(0))
    with closing(opened(api)) as source:
        source.check()
        corrected = len(api.requests)
        source.check()

    assert corrected == 2
    assert len(api.requests) == 3


@pytest.mark.parametrize(("ahead", "tries"), [(timedelta(minutes=4), 1), (timedelta(hours=1), 2)])
def test_a_wrong_key_is_told_after_one_more_try_if_the_clocks_differ_too(api, shop, ahead, tries):
    api.clock = lambda: datetime.now(UTC) + ahead
    wrong = registry.get("woocommerce").open_source(config(api, consumer_secret="cs_other"))

    with closing(wrong), pytest.raises(AuthError):
        wrong.check()

    assert len(api.requests) == tries

"""Stripe: the contract, whatever happens meanwhile, and what is particular to its events."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest

from connectors import registry
from connectors.contract import Encoding, Selection, Source, State, SyncMode
from connectors.errors import AuthError, ConfigError
from connectors.http.outside import Outside
from connectors.providers.stripe import LIVE, TEST, StripeConfig, api_of, streams
from connectors.providers.stripe_source import StripeSource
from connectors.testing.fake_api import FakeApi, first
from connectors.testing.features import Feature
from connectors.testing.rows import Row, at
from connectors.testing.source_suite import SourceContract
from tests.providers.laws import GONE, prove
from tests.providers.renamed import FRACTION, Renamed
from tests.providers.stripe import KEY, StripeAccount, busy

INVOICES = {"id": "id", "changed_at": "due_date", "note": "description"}


def config(url: str, **more: object) -> dict[str, object]:
    return {"api_key": KEY, "base_url": url, "allow_private_addresses": True, **more}


def opened(
    api: FakeApi, *, outside: Outside | None = None, late_seconds: float = 0
) -> StripeSource:
    """Two objects a page, and no limit but the provider's."""
    spec = api_of(StripeConfig.model_validate(config(api.url)))
    limits = replace(spec.limits, tries=2, rate=None)
    return StripeSource(
        api=replace(spec, streams=streams(2), limits=limits),
        outside=outside or Outside(now=lambda: api.clock()),
        late=timedelta(seconds=late_seconds),
    )


class StripeProvider:
    """Invoices, whose due date stands for when they were changed."""

    stream = "invoices"

    def __init__(self, api: FakeApi) -> None:
        self.account = StripeAccount(api)
        self.now = at(0)

    def open(self, outside: Outside | None = None) -> Source:
        source = opened(self.account.api, outside=outside)
        return Renamed(source=source, name="invoices", names=INVOICES, fraction=FRACTION)

    def store(self, row: Row) -> None:
        assert row.changed_at is not None
        due = int(row.changed_at.timestamp())
        self.account.put(
            "invoices", str(row.id), row.changed_at, due_date=due, description=row.note
        )

    def put(self, rows: Sequence[Row]) -> None:
        for row in rows:
            assert row.changed_at is not None
            self.now = max(self.now, row.changed_at)
            self.account.api.clock = lambda: self.now
            self.store(row)

    def drop(self, identity: int, moment: datetime) -> None:
        due = int(moment.timestamp())
        self.account.delete("invoices", str(identity), moment, due_date=due, description=GONE)


@pytest.fixture
def account(api: FakeApi) -> StripeAccount:
    api.clock = lambda: at(1000)
    return StripeAccount(api)


class TestAnAccount(SourceContract):
    lacks: ClassVar = {
        Feature.EMPTY_CURSOR: "every object was created at some time",
        Feature.FUTURE: "Stripe stamps objects by its own clock",
        Feature.ROW_FILTER: "events cannot be filtered",
    }

    def spelled(self, moment: datetime) -> str:
        return moment.replace(microsecond=0).isoformat()

    @pytest.fixture
    def system(self, api: FakeApi) -> StripeProvider:
        api.clock = lambda: at(0)
        return StripeProvider(api)


def test_changes_deletes_faults_and_crashes_lose_nothing(api):
    """R70, R152; a deleted object says so."""
    prove(api, lambda: StripeProvider(api), mode=SyncMode.INCREMENTAL, examples=40, deletes=True)


def test_a_full_read_after_changes_deletes_faults_and_crashes_is_the_account(api):
    prove(api, lambda: StripeProvider(api), mode=SyncMode.FULL, examples=20, deletes=True)


def read(source, name, *, mode=SyncMode.INCREMENTAL, state=None, **how):
    selection = Selection(stream=source.stream(name), mode=mode, **how)
    return list(source.read(selection, state, Encoding.ARROW))


def values(batches, column="id"):
    return [found for batch in batches for found in batch.data.column(column).to_pylist()]


def paths(api):
    return [request.path for request in api.requests]


@pytest.mark.parametrize(
    ("name", "said", "expected"),
    [
        ("charges", {"amount": 1999, "currency": "eur", "paid": True}, {}),
        (
            "customers",
            {"name": "Ada", "balance": -500, "address": {"city": "Ulm"}},
            {"address": '{"city":"Ulm"}'},
        ),
        ("invoices", {"number": "A-1", "amount_due": 100}, {}),
        ("subscriptions", {"status": "canceled", "cancel_at_period_end": False}, {}),
        (
            "payouts",
            {"amount": 12_345, "currency": "eur", "status": "paid", "arrival_date": 1709294400},
            {"arrival_date": datetime(2024, 3, 1, 12, tzinfo=UTC)},
        ),
    ],
)
def test_every_list_is_read_whole_at_first_and_what_changed_after(
    api, account, name, said, expected
):
    """As records: with their fields, over several pages, and then by their events."""
    for number in range(5):
        account.put(name, f"x_{number}", at(number), **said)
    with closing(opened(api)) as source:
        batches = read(source, name)
        account.put(name, "x_3", at(1001), metadata={"seen": "yes"})
        changed = read(source, name, state=batches[-1].state)

    found = {one["id"]: one for batch in batches for one in batch.data.to_pylist()}
    assert set(found) == {f"x_{number}" for number in range(5)}
    for number, one in enumerate(found[f"x_{number}"] for number in range(5)):
        assert {field: one[field] for field in said} == said | expected
        assert one["created"] == at(number).replace(microsecond=0)
    [again] = [one for batch in changed for one in batch.data.to_pylist()]
    assert (again["id"], json.loads(again["metadata"])) == ("x_3", {"seen": "yes"})


def test_only_what_events_speak_of_is_fetched_again(api, account):
    for number in range(5):
        account.put("charges", f"ch_{number}", at(number), amount=100)
    with closing(opened(api)) as source:
        state = read(source, "charges")[-1].state
        account.put("charges", "ch_2", at(1001), amount=100, amount_refunded=40)
        api.requests.clear()
        found = read(source, "charges", state=state)

    assert paths(api) == ["/v1/events", "/v1/charges/ch_2"]
    assert values(found, "amount_refunded") == [40]
    assert values(found, "deleted") == [False]
    assert values(found, "as_of")[0] == at(1001).replace(microsecond=0)


def test_an_object_is_read_as_it_is_now_and_not_as_its_event_was(api, account):
    """Events are rendered in the API version of their time."""
    account.put("charges", "ch_1", at(0), status="pending")
    with closing(opened(api)) as source:
        state = read(source, "charges")[-1].state
        account.put("charges", "ch_1", at(1001), status="failed")
        account.held["charges"]["ch_1"]["status"] = "succeeded"

        assert values(read(source, "charges", state=state), "status") == ["succeeded"]


def test_a_dispute_changes_its_charge(api, account):
    account.put("charges", "ch_1", at(0), disputed=False)
    with closing(opened(api)) as source:
        state = read(source, "charges")[-1].state
        account.held["charges"]["ch_1"]["disputed"] = True
        dispute = {"id": "du_1", "object": "dispute", "charge": "ch_1"}
        account.tell("charge.dispute.created", dispute, at(1001))

        assert values(read(source, "charges", state=state), "disputed") == [True]


def test_a_deleted_customer_comes_as_it_was(api, account):
    account.put("customers", "cus_1", at(0), name="Ada", email="ada@shop.example")
    with closing(opened(api)) as source:
        state = read(source, "customers")[-1].state
        account.delete("customers", "cus_1", at(1001))
        found = read(source, "customers", state=state)

    assert values(found, "name") == ["Ada"]
    assert values(found, "deleted") == [True]


def test_cancelled_subscriptions_are_there(api, account):
    account.put("subscriptions", "sub_1", at(0), status="canceled")
    account.put("subscriptions", "sub_2", at(1), status="active")
    with closing(opened(api)) as source:
        assert sorted(values(read(source, "subscriptions"))) == ["sub_1", "sub_2"]


def test_after_a_month_of_silence_everything_is_read_again(api, account):
    """Its events are gone by then."""
    account.put("charges", "ch_1", at(0), amount=1)
    with closing(opened(api)) as source:
        state = read(source, "charges")[-1].state
        account.put("charges", "ch_1", at(1001), amount=2)
        account.put("charges", "ch_2", at(1002), amount=3)
        api.clock = lambda: at(1000) + timedelta(days=31)
        api.requests.clear()
        found = read(source, "charges", state=state)

    assert "/v1/events" not in paths(api)
    assert sorted(values(found, "amount")) == [2, 3]
    assert min(values(found, "as_of")) > at(1002)


def test_a_list_half_read_is_read_on_from_where_it_ended(api, account):
    for number in range(6):
        account.put("charges", f"ch_{number}", at(number))
    with closing(opened(api)) as source:
        half = read(source, "charges", batch_rows=2)[1].state
        api.requests.clear()
        rest = read(source, "charges", state=half)

    assert values(rest) == ["ch_2", "ch_1", "ch_0"]
    assert rest[-1].state == State(version=1, value={"watermark": half.watermark})


def test_what_changed_since_a_list_was_begun_comes_with_the_rest_of_it(api, account):
    """A read that ends well leaves nothing for the next one to catch up with."""
    for number in range(6):
        account.put("charges", f"ch_{number}", at(number))
    with closing(opened(api)) as source:
        half = read(source, "charges", batch_rows=2)[1].state
        api.clock = lambda: at(2000)
        account.put("charges", "ch_9", at(1500))
        rest = read(source, "charges", state=half)

    assert values(rest) == ["ch_2", "ch_1", "ch_0", "ch_9"]


def test_what_changes_while_the_list_is_read_is_met_by_its_event(api, account):
    for number in range(6):
        account.put("charges", f"ch_{number}", at(number), amount=1)
    api.at(2, first(lambda: account.put("charges", "ch_5", at(1000), amount=2)))
    with closing(opened(api)) as source:
        state = read(source, "charges")[-1].state

        assert values(read(source, "charges", state=state), "amount") == [2]


def test_an_event_that_shows_late_is_seen(api, account):
    account.put("charges", "ch_1", at(0), amount=1)
    with closing(opened(api, late_seconds=10)) as source:
        state = read(source, "charges")[-1].state
        account.put("charges", "ch_1", at(995), amount=2)

        assert values(read(source, "charges", state=state), "amount") == [2]


def test_events_are_a_stream_of_their_own(api, account):
    for number in range(5):
        account.put("payouts", f"po_{number}", at(number))
    with closing(opened(api)) as source:
        state = read(source, "events")[-1].state
        account.put("payouts", "po_9", at(900))
        found = read(source, "events", state=state)

    assert values(found, "type")[0] == "payout.created"
    assert len(values(found)) == 2


def test_a_lock_that_somebody_holds_is_waited_for_unless_stripe_says_no(api, account):
    api.at(1, busy())
    with closing(opened(api, outside=Outside(sleep=lambda seconds: None))) as source:
        source.check()
        api.at(1, busy(should_retry="false"))

        with pytest.raises(ConfigError, match="another request"):
            source.check()


def test_a_filter_is_refused_because_events_have_none(api, account):
    with closing(opened(api)) as source, pytest.raises(ConfigError, match="row_filter"):
        read(source, "charges", row_filter="customer=cus_1")


def test_a_wrong_key_is_told_without_showing_it(api, account):
    source = registry.get("stripe").open_source(config(api.url, api_key="rk_test_wrong"))

    with pytest.raises(AuthError) as told:
        source.check()

    assert "rk_test_wrong" not in str(told.value)
    source.close()


def test_a_publishable_key_is_refused():
    with pytest.raises(ConfigError, match="rk_"):
        registry.get("stripe").open_source({"api_key": "pk_live_x"})


def test_a_live_key_may_call_more_often_than_a_test_key():
    live, test = (
        api_of(StripeConfig.model_validate({"api_key": key})) for key in ("rk_live_x", "rk_test_x")
    )

    assert (live.limits.rate, test.limits.rate) == (LIVE, TEST)

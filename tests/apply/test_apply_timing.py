"""What applying a file makes of schedules: no edit fires an old slot or moves one needlessly."""

from datetime import UTC, datetime, timedelta

import pytest

from sync_pipelines.model.cadence import Cron, Daily
from tests.apply.conftest import Applier
from tests.apply.shop import LATER, SHOP, schedules, told
from tests.world import START


def test_an_edit_that_leaves_the_timing_alone_leaves_the_next_slot_alone(shop: Applier) -> None:
    before = schedules(shop.catalog)["nightly"].next_run_at

    shop(SHOP.replace("lag: 5m", "lag: 6m"), now=LATER)

    assert schedules(shop.catalog)["nightly"].next_run_at == before


@pytest.mark.parametrize(
    ("old", "new", "next_run"),
    [
        ('at: "02:00"', 'at: "03:00"', datetime(2026, 3, 6, 10, tzinfo=UTC)),
        ("America/Edmonton", "UTC", datetime(2026, 3, 6, 2, tzinfo=UTC)),
        (
            "America/Edmonton",
            "America/Edmonton, clock_change: {missing: skip}",
            datetime(2026, 3, 6, 9, tzinfo=UTC),
        ),
    ],
)
def test_a_new_cadence_zone_or_clock_rule_never_fires_an_old_slot(
    shop: Applier, old: str, new: str, next_run: datetime
) -> None:
    """The slot of 3 March is due and undecided when the file is edited on the 5th."""
    plan = shop(SHOP.replace(old, new), now=LATER)

    nightly = schedules(shop.catalog)["nightly"]
    assert nightly.next_run_at == next_run
    assert "next_run_at" in told(plan)[0][1]


def test_a_schedule_that_wakes_up_starts_with_its_next_slot(shop: Applier) -> None:
    asleep = SHOP.replace("America/Edmonton", "America/Edmonton, is_active: false")
    shop(asleep)
    held = schedules(shop.catalog)["nightly"].next_run_at

    shop(asleep.replace("is_active: false", "is_active: true"), now=LATER)

    assert held is None
    assert schedules(shop.catalog)["nightly"].next_run_at == datetime(2026, 3, 6, 9, tzinfo=UTC)


def test_a_sync_that_wakes_up_wakes_all_its_schedules_without_their_old_slots(
    shop: Applier,
) -> None:
    paused = SHOP.replace("    dataset: shop", "    is_active: false\n    dataset: shop")
    shop(paused.replace("nightly:", "hourly: {type: hourly}\n      nightly:"))

    plan = shop(paused.replace("is_active: false", "is_active: true"), now=LATER)

    assert told(plan) == [
        ("sync acme/orders", ["is_active"]),
        ("schedule acme/orders/nightly", ["next_run_at"]),
        ("schedule acme/orders/hourly", ["next_run_at"]),
    ]
    assert all(found.next_run_at > LATER for found in schedules(shop.catalog).values())  # type: ignore[operator]


def test_an_interval_goes_on_from_where_it_was_anchored(shop: Applier) -> None:
    every = SHOP.replace('{type: daily, at: "02:00", timezone: America/Edmonton}', "{every: 6h}")
    shop(every)

    shop(every.replace("6h", "1h"), now=START + timedelta(minutes=90))

    nightly = schedules(shop.catalog)["nightly"]
    assert nightly.created_at == START
    assert nightly.next_run_at == START + timedelta(hours=2)


def test_schedules_keep_what_the_tenant_wrote(shop: Applier) -> None:
    """R4, R13."""
    shop(
        SHOP + "      cron: {type: cron, cron: '*/15 9-17 * * mon-fri'}\n"
        "      live: {type: realtime}\n"
    )

    found = schedules(shop.catalog)
    assert found["nightly"].cadence == Daily()
    assert found["nightly"].timezone == "America/Edmonton"
    assert found["cron"].cadence == Cron(expression="*/15 9-17 * * mon-fri")
    assert found["live"].next_run_at is None

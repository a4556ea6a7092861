"""Everything of a schedule and a sync that a file can say reaches the catalog, and stays."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
from sqlalchemy import text

from sync_pipelines.apply.problems import ManifestError
from sync_pipelines.apply.words import value_in_words
from sync_pipelines.catalog.schedules import find_schedule
from sync_pipelines.catalog.syncs import find_sync
from sync_pipelines.engine.dispatch import claim_due
from sync_pipelines.engine.steering import pause_schedule, pause_sync
from sync_pipelines.model.blackout import DateBlackout, WeeklyBlackout
from sync_pipelines.model.breaker import BreakerPolicy
from sync_pipelines.model.cadence import Adaptive, After, Event, EventTrigger, Weekday
from sync_pipelines.model.condition import Condition, Operator
from sync_pipelines.model.policy import (
    Missed,
    MissedPolicy,
    Overlap,
    Pause,
    Policies,
    Priority,
)
from sync_pipelines.model.schedule import Schedule
from tests.apply.conftest import Applier
from tests.world import START

FRAME = """\
tenant: acme
connections:
  shop: {connector: database, config: {url: "postgresql://u@h/shop"}}
  house: {connector: database, config: {url: "postgresql://u@h/house"}}
syncs:
  orders:
    source: shop
    destination: house
    streams: [orders]
"""
EVERYTHING = (
    FRAME
    + """\
    retry: {stalled_after: 20m}
    breaker: {failures: 4, probe_after: 90s, factor: 3, ceiling: 1d, pause: true}
    is_active: false
    pause_reason: stocktaking
    schedules:
      main:
        every: 15m
        overlap: queue
        missed: {policy: all, most: 5, window: 6h}
        spread: 10m
        blackouts:
          - {days: [sat, sun], from: "22:00", to: "06:00"}
          - {from: 2026-12-24, to: 2026-12-26}
        starts_at: 2026-02-01T00:00:00+01:00
        ends_at: 2027-02-01T00:00:00Z
        pause: {reason: the shop moves, until: 2026-04-01T00:00:00Z}
        priority: high
      paid:
        type: event
        trigger: webhook
        conditions: [{field: status, in: [paid, sent]}, {field: total, greater: 29.90}]
      clever: {type: adaptive, least: 5m, most: 6h}
      short: {every: 20m, missed: skip, spread: exact}
  units:
    source: shop
    destination: house
    streams: [units]
    schedules:
      then: {type: after, sync: orders}
"""
)
LATER = START + timedelta(days=3)


def schedule(apply: Applier, key: str = "acme/orders/main") -> Schedule:
    with apply.catalog.begin() as db:
        return find_schedule(db, key)


def written(keys: str) -> str:
    return FRAME + f"    schedules:\n      main: {{{keys}}}\n"


def fields(plan) -> list[tuple[str, object, object]]:
    return [(field.field, field.before, field.after) for c in plan.changes for field in c.fields]


def test_every_policy_of_a_schedule_can_be_written(apply: Applier) -> None:
    """R20, R25, R72, R92: what the file says is what the catalog holds."""
    apply(EVERYTHING)

    assert schedule(apply).policies == Policies(
        overlap=Overlap.QUEUE,
        missed=Missed(policy=MissedPolicy.ALL, most=5, window=timedelta(hours=6)),
        spread=timedelta(minutes=10),
        blackouts=(
            WeeklyBlackout(days=(Weekday.SAT, Weekday.SUN), start=time(22), end=time(6)),
            DateBlackout(
                first_on=datetime(2026, 12, 24, tzinfo=UTC).date(),
                last_on=datetime(2026, 12, 26, tzinfo=UTC).date(),
            ),
        ),
        starts_at=datetime(2026, 1, 31, 23, tzinfo=UTC),
        ends_at=datetime(2027, 2, 1, tzinfo=UTC),
        pause=Pause(reason="the shop moves", until=datetime(2026, 4, 1, tzinfo=UTC)),
        priority=Priority.HIGH,
    )
    short = schedule(apply, "acme/orders/short").policies
    assert (short.missed, short.spread) == (Missed(policy=MissedPolicy.SKIP), timedelta(0))


def test_cadences_that_no_clock_drives_and_that_learn_can_be_written(apply: Applier) -> None:
    """R5, R15, R19, R80."""
    apply(EVERYTHING)

    assert schedule(apply, "acme/orders/paid").cadence == Event(
        trigger=EventTrigger.WEBHOOK,
        conditions=(
            Condition(field="status", operator=Operator.IN, value=("paid", "sent")),
            Condition(field="total", operator=Operator.GREATER, value=29.9),
        ),
    )
    assert schedule(apply, "acme/orders/clever").cadence == Adaptive(least=5, most=360)
    assert schedule(apply, "acme/units/then").cadence == After(sync="orders")
    assert schedule(apply, "acme/units/then").next_run_at is None


def test_how_a_sync_recovers_and_why_it_is_paused_can_be_written(apply: Applier) -> None:
    """R86, R88."""
    apply(EVERYTHING)

    with apply.catalog.begin() as db:
        sync = find_sync(db, apply.catalog.secrets, "acme/orders")
    assert sync.retry.stalled_after == timedelta(minutes=20)
    assert sync.breaker == BreakerPolicy(
        failures=4,
        probe_after=timedelta(seconds=90),
        factor=3,
        ceiling=timedelta(days=1),
        pause=True,
    )
    assert (sync.is_active, sync.pause_reason) == (False, "stocktaking")


def test_a_file_with_everything_in_it_plans_nothing_the_second_time(apply: Applier) -> None:
    apply(EVERYTHING)

    again = apply(EVERYTHING, now=LATER)

    assert (again.changes, again.unchanged) == ((), 10)


def test_an_edit_of_a_policy_alone_arms_the_schedule_anew_without_an_old_slot(
    apply: Applier,
) -> None:
    """What was due before the edit had its decision when the edit came, and has only that."""
    apply(written("type: daily, at: '02:00'"))

    plan = apply(written("type: daily, at: '02:00', overlap: queue"), now=LATER)
    apply(written("type: daily, at: '02:00', overlap: cancel"), now=LATER)
    claimed = claim_due(apply.catalog, "database", LATER, tick="one")

    with apply.catalog.begin() as db:
        started = db.scalars(
            text("SELECT count(*) FROM sync.sync_decisions WHERE execution_id IS NOT NULL")
        ).one()
    assert fields(plan)[0] == ("policies.overlap", None, "queue")
    assert schedule(apply).next_run_at == datetime(2026, 3, 6, 2, tzinfo=UTC)
    assert started == 1
    assert len(claimed) == 1


def test_a_blackout_over_the_next_slot_moves_it(apply: Applier) -> None:
    apply(written("type: daily, at: '02:00'"))

    plan = apply(written("type: daily, at: '02:00', blackouts: [{from: 2026-03-03}]"))

    assert fields(plan) == [
        ("policies.blackouts", None, [{"from": "2026-03-03", "to": "2026-03-03"}]),
        ("next_run_at", "2026-03-03T02:00:00+00:00", "2026-03-04T02:00:00+00:00"),
    ]


def test_a_schedule_that_somebody_paused_stays_paused_unless_the_file_says_otherwise(
    apply: Applier,
) -> None:
    """R25."""
    apply(written("every: 15m"))
    with apply.catalog.begin() as db:
        held = find_schedule(db, "acme/orders/main")
        pause_schedule(db, held, Pause(reason="the night shift asked"), now=START)

    silent = apply(written("every: 15m"), now=LATER)
    held = schedule(apply)
    outspoken = apply(written("every: 15m, is_active: true"), now=LATER)

    assert silent.changes == ()
    assert held.policies.pause == Pause(reason="the night shift asked")
    assert [field for field, _, _ in fields(outspoken)] == ["policies.pause", "next_run_at"]
    assert schedule(apply).next_run_at == LATER + timedelta(minutes=15)


def test_the_reason_of_a_pause_stays_until_the_file_gives_another(apply: Applier) -> None:
    apply(FRAME)
    with apply.catalog.begin() as db:
        sync = find_sync(db, apply.catalog.secrets, "acme/orders")
        pause_sync(db, sync.id, tenant_id=sync.tenant_id, reason="ten failures", now=START)

    silent = apply(FRAME, now=LATER)
    explained = apply(FRAME + "    is_active: false\n    pause_reason: they move\n", now=LATER)
    resumed = apply(FRAME + "    is_active: true\n", now=LATER)

    assert silent.changes == ()
    assert fields(explained) == [("pause_reason", "ten failures", "they move")]
    assert fields(resumed) == [("is_active", False, True), ("pause_reason", "they move", None)]


def test_a_sync_may_wait_for_one_that_only_the_catalog_has(apply: Applier) -> None:
    apply(FRAME)

    apply(
        "tenant: acme\nsyncs:\n  units:\n    source: shop\n    destination: house\n"
        "    streams: [units]\n    schedules: {then: {type: after, sync: orders}}\n"
    )

    assert schedule(apply, "acme/units/then").cadence == After(sync="orders")


def test_a_way_round_through_what_the_catalog_holds_is_refused(apply: Applier) -> None:
    """R80."""
    apply(EVERYTHING)

    with pytest.raises(ManifestError, match=r"acme\.yaml:11: acme/orders waits for acme/units"):
        apply(FRAME + "    schedules:\n      then: {type: after, sync: units}\n")


def test_a_wait_that_the_file_takes_away_closes_no_way_round(apply: Applier) -> None:
    apply(EVERYTHING)

    plan = apply(
        FRAME
        + "    schedules:\n      then: {type: after, sync: units}\n"
        + "  units:\n    source: shop\n    destination: house\n    streams: [units]\n"
        + "    schedules: {then: {type: daily}}\n"
    )

    assert len(plan.changes) == 3


def test_an_interval_that_was_learned_lasts_as_long_as_its_bounds(apply: Applier) -> None:
    apply(written("type: adaptive, least: 5m, most: 6h"))
    with apply.catalog.begin() as db:
        db.execute(
            text(
                "UPDATE sync.sync_schedules SET learned = jsonb_build_object("
                "'minutes', 40, 'since', '2026-03-02T12:00:00+00:00', 'reason', 'quiet')"
            )
        )

    apply(written("type: adaptive, least: 5m, most: 6h, priority: low"))
    kept = schedule(apply).learned
    apply(written("type: adaptive, least: 5m, most: 5h, priority: low"))

    assert kept is not None
    assert kept.minutes == 40
    assert schedule(apply).learned is None


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("policies.overlap", None, '"skip"'),
        ("policies.ends_at", None, "(none)"),
        ("policies.blackouts", [{"from": "2026-12-24", "to": "2026-12-26"}], "2026-12-24 to"),
        (
            "policies.blackouts",
            [{"days": ["sat", "sun"], "from": "22:00", "to": "06:00"}],
            "sat, sun 22:00 to 06:00",
        ),
        ("cadence.conditions", [{"field": "status", "equals": "paid"}], "status is 'paid'"),
        ("cadence.conditions", [], "(none)"),
        ("retry.stalled_after", 3600.0, "1h"),
        ("breaker.probe_after", 90.0, "90s"),
        ("breaker.factor", 2.0, "2.0"),
        ("streams.public.orders.lag", 172800.0, "2d"),
        ("retry.initial", 0.0, "0s"),
        ("config.retry.ceiling", "as it is", '"as it is"'),
    ],
)
def test_a_difference_is_told_as_the_file_would_write_it(field, value, said) -> None:
    assert value_in_words(field, value).startswith(said)


def test_a_pause_that_the_file_writes_can_be_changed_by_it(apply: Applier) -> None:
    apply(written("every: 15m, pause: {reason: a}"))

    plan = apply(written("every: 15m, pause: {reason: b}"))

    assert fields(plan) == [("policies.pause.reason", "a", "b")]
    assert replace(schedule(apply).policies, pause=None) == Policies()

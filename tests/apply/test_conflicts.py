"""A file that brings schedules into a certain conflict is refused; likely ones are told."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from sync_pipelines.apply.problems import ManifestError
from sync_pipelines.catalog.conflicts import Recorded, of_tenant
from sync_pipelines.catalog.tenants import find_tenant, put_limits
from sync_pipelines.engine.conflicts import review
from sync_pipelines.model.limits import TenantLimits
from sync_pipelines.timing.clashes import Kind, Severity
from tests.apply.conftest import Applier
from tests.world import START

FRAME = """\
tenant: acme
connections:
  shop: {connector: database, config: {url: "postgresql://u:secret@h/shop"}}
  house: {connector: database, config: {url: "postgresql://u:secret@H/house"}}
  same-house: {connector: database, config: {url: "postgres://v:other@h:5432/house?sslmode=require"}}
syncs:
"""


def sync(name: str, schedules: str, *, to: str = "house", more: str = "") -> str:
    return (
        f"  {name}:\n    source: shop\n    destination: {to}\n    streams: [{name}{more}]\n"
        f"    dataset: all\n    schedules:\n{schedules}"
    )


def schedule(name: str, keys: str) -> str:
    return f"      {name}: {{{keys}}}\n"


NIGHTLY = schedule("nightly", "type: daily, at: '02:00'")
ALIKE = schedule("again", "type: cron, cron: '0 2 * * *'")


def refused(apply: Applier, text: str) -> tuple[int, str]:
    with pytest.raises(ManifestError) as caught:
        apply(text)
    (problem,) = caught.value.problems
    return problem.line, problem.message


def recorded(apply: Applier, *, with_resolved: bool = False) -> list[Recorded]:
    with apply.catalog.begin() as db:
        tenant_id = find_tenant(db, "acme").id
        return of_tenant(db, tenant_id=tenant_id, with_resolved=with_resolved)


def limit(apply: Applier, limits: TenantLimits) -> None:
    with apply.catalog.begin() as db:
        tenant = find_tenant(db, "acme")
        put_limits(db, replace(tenant, limits=limits), now=START)


def test_two_schedules_that_fire_alike_are_refused_in_the_line_of_the_new_one(
    apply: Applier,
) -> None:
    """R33: however they are written."""
    apply(FRAME + sync("orders", NIGHTLY))

    line, message = refused(apply, FRAME + sync("orders", ALIKE + NIGHTLY))

    assert line == 13
    assert "acme/orders/again" in message
    assert "acme/orders/nightly" in message
    assert "two schedules of acme/orders fire alike; delete the first of them" in message


def test_a_preview_refuses_just_as_applying_would_and_changes_nothing(apply: Applier) -> None:
    apply(FRAME + sync("orders", NIGHTLY))

    with pytest.raises(ManifestError, match="fire alike"):
        apply.preview(FRAME + sync("orders", NIGHTLY + ALIKE))

    with apply.catalog.begin() as db:
        assert db.scalar(text("SELECT count(*) FROM sync.sync_schedules")) == 1


def test_nothing_of_a_file_that_is_refused_is_kept(apply: Applier) -> None:
    with pytest.raises(ManifestError):
        apply(FRAME + sync("orders", NIGHTLY + ALIKE))

    with apply.catalog.begin() as db:
        for table in ("tenants", "audit_log", "sync_schedule_conflicts"):
            assert db.scalar(text(f"SELECT count(*) FROM sync.{table}")) == 0


def test_two_syncs_into_one_table_are_refused_though_they_log_in_differently(
    apply: Applier,
) -> None:
    """R34: two connections that lead to one database are one place; no password is told."""
    orders = sync("orders", NIGHTLY)
    again = sync("again", schedule("later", "type: daily, at: '12:00'"), to="same-house")

    line, message = refused(
        apply, FRAME + orders + again.replace("[again]", "[{name: returns, table: orders}]")
    )

    assert line == 14
    assert "acme/again and acme/orders write the same table all.orders of postgresql://h:5432" in (
        message
    )
    assert "secret" not in message
    assert "other" not in message


def test_another_connection_that_leads_to_the_same_place_is_where_the_file_is_wrong(
    apply: Applier,
) -> None:
    """The file changes nothing but a URL, and so makes two databases one."""
    apart = FRAME.replace("h:5432/house?", "h:5432/elsewhere?")
    syncs = sync("orders", NIGHTLY) + sync("again", NIGHTLY, to="same-house").replace(
        "[again]", "[orders]"
    )
    apply(apart + syncs)

    line, message = refused(apply, FRAME.partition("syncs:")[0])

    assert line == 5
    assert "write the same table all.orders" in message


def test_a_schedule_that_never_starts_anything_is_refused(apply: Applier) -> None:
    """R32."""
    line, message = refused(
        apply,
        FRAME
        + sync(
            "orders",
            NIGHTLY.replace("nightly", "day") + schedule("never", "every: 5m, blackouts: [{}]"),
        ),
    )

    assert line == 14
    assert message.startswith("acme/orders/never: a schedule of acme/orders never starts anything")


def test_what_clashed_before_blocks_no_unrelated_edit_and_is_told_again(apply: Applier) -> None:
    clashing = FRAME + sync("orders", NIGHTLY + ALIKE)
    apply(clashing.replace("'0 2 * * *'", "'0 3 * * *'"))
    with apply.catalog.begin() as db:  # as if it had been there before anybody examined it
        db.execute(
            text(
                "UPDATE sync.sync_schedules SET config = jsonb_set(config, '{cadence,cron}',"
                " '\"0 2 * * *\"') WHERE name = 'again'"
            )
        )

    plan = apply(clashing + sync("units", NIGHTLY), now=START + timedelta(hours=1))

    assert [change.name for change in plan.changes] == ["acme/units", "acme/units/nightly"]
    (told,) = [one for one in plan.conflicts if one.severity is Severity.CERTAIN]
    assert told.kind is Kind.DUPLICATE
    with pytest.raises(ManifestError, match=r"orders/third.* two schedules"):
        apply(FRAME + sync("orders", ALIKE.replace("again", "third")))


def test_a_schedule_that_is_switched_off_clashes_with_nothing(apply: Applier) -> None:
    off = ALIKE.replace("type: cron", "is_active: false, type: cron")

    plan = apply(FRAME + sync("orders", NIGHTLY + off))

    assert plan.conflicts == ()


def test_a_schedule_that_does_the_work_of_another_is_a_warning(apply: Applier) -> None:
    """R33."""
    plan = apply(FRAME + sync("orders", NIGHTLY + schedule("often", "every: 1h")))

    (warning,) = plan.conflicts
    assert (warning.kind, warning.severity) == (Kind.DUPLICATE, Severity.LIKELY)
    assert warning.schedules == ("acme/orders/nightly", "acme/orders/often")


def test_more_at_once_than_the_tenant_may_is_a_warning(apply: Applier) -> None:
    """R35."""
    apply(FRAME + sync("orders", NIGHTLY))
    limit(apply, TenantLimits(concurrent=1))

    plan = apply.preview(FRAME + sync("orders", NIGHTLY) + sync("units", NIGHTLY))

    (warning,) = plan.conflicts
    assert (warning.kind, warning.severity) == (Kind.LIMIT, Severity.LIKELY)
    assert "2 executions would run at once at 2026-03-03 02:00 UTC; at most 1 may" in (
        warning.message
    )


def test_more_at_once_than_a_file_bears_is_a_warning_whoever_writes_it(apply: Applier) -> None:
    """R35, R78: one DuckDB file has one writer, by whatever connection it is reached."""
    frame = FRAME.replace("postgresql://u:secret@H/house", "duckdb:////srv/house.duckdb").replace(
        "postgres://v:other@h:5432/house?sslmode=require", "duckdb:////srv/../srv/house.duckdb"
    )

    alone = apply(frame + sync("orders", NIGHTLY + schedule("noon", "type: daily, at: '12:00'")))
    both = apply(frame + sync("orders", NIGHTLY) + sync("units", NIGHTLY, to="same-house"))
    with apply.catalog.begin() as db:
        bears = db.execute(
            text("SELECT name, most_at_once FROM sync.connections ORDER BY name")
        ).all()

    assert alone.conflicts == ()
    (warning,) = both.conflicts
    assert (warning.kind, warning.severity) == (Kind.LIMIT, Severity.LIKELY)
    assert "use duckdb:////srv/house.duckdb, 2 executions would run at once" in warning.message
    assert [tuple(row) for row in bears] == [("house", 1), ("same-house", 1), ("shop", None)]


def test_more_schedules_than_the_tenant_may_have_are_refused(apply: Applier) -> None:
    """R35, R134."""
    noon = schedule("noon", "type: daily, at: '12:00'")
    apply(FRAME + sync("orders", NIGHTLY))
    limit(apply, TenantLimits(schedules=1))

    line, message = refused(apply, FRAME + sync("orders", NIGHTLY + noon))

    assert line == 14
    assert message.startswith("2 schedules are switched on; acme may have 1; delete some")


def test_a_lowered_limit_blocks_only_what_makes_it_worse(apply: Applier) -> None:
    """R134."""
    three = [schedule(name, f"type: daily, at: '0{at}:00'") for at, name in enumerate("abc")]
    apply(FRAME + sync("orders", "".join(three)))
    limit(apply, TenantLimits(schedules=1))
    fewer = three[0].replace("type", "is_active: false, type")

    fourth, _ = refused(apply, FRAME + sync("units", three[0]))
    plan = apply(FRAME + sync("orders", fewer))

    assert fourth == 13
    assert [one.kind for one in plan.conflicts] == [Kind.LIMIT]


def test_conflicts_are_kept_and_found_again_and_resolved(apply: Applier) -> None:
    """R36."""
    often = FRAME + sync("orders", NIGHTLY + schedule("often", "every: 1h"))
    later, latest = START + timedelta(days=1), START + timedelta(days=2)

    apply(often)
    apply(often, now=later)
    (open_,) = recorded(apply)
    apply(often.replace("every: 1h", "every: 1h, is_active: false"), now=latest)

    (resolved,) = recorded(apply, with_resolved=True)
    assert (open_.found_at, open_.last_found_at, open_.resolved_at) == (START, later, None)
    assert recorded(apply) == []
    assert resolved.conflict == open_.conflict
    assert (resolved.last_found_at, resolved.resolved_at) == (later, latest)


def test_a_conflict_that_comes_back_is_another_one(apply: Applier) -> None:
    """R36."""
    often = FRAME + sync("orders", NIGHTLY + schedule("often", "every: 1h"))
    off = often.replace("every: 1h", "every: 1h, is_active: false")
    on = often.replace("every: 1h", "every: 1h, is_active: true")

    for days, written in enumerate((often, off, on)):
        apply(written, now=START + timedelta(days=days))

    found = [one.found_at for one in recorded(apply, with_resolved=True)]
    assert found == [START + timedelta(days=2), START]


def test_a_preview_keeps_no_conflict(apply: Applier) -> None:
    apply(FRAME + sync("orders", NIGHTLY))

    plan = apply.preview(FRAME + sync("orders", NIGHTLY + schedule("often", "every: 1h")))

    assert len(plan.conflicts) == 1
    assert recorded(apply) == []


def test_another_tenants_conflicts_are_not_touched(apply: Applier) -> None:
    """R127."""
    often = FRAME + sync("orders", NIGHTLY + schedule("often", "every: 1h"))
    apply(often)

    apply(often.replace("tenant: acme", "tenant: rival").replace("every: 1h", "type: manual"))

    assert len(recorded(apply)) == 1


def test_the_night_finds_what_applying_found(apply: Applier) -> None:
    """R36."""
    plan = apply(FRAME + sync("orders", NIGHTLY + schedule("often", "every: 1h")))

    with apply.catalog.begin() as db:
        tenant = find_tenant(db, "acme")
        found = review(db, apply.catalog.secrets, tenant, now=START + timedelta(days=1))

    assert [one.fingerprint for one in found.conflicts] == [
        one.fingerprint for one in plan.conflicts
    ]
    assert len(recorded(apply, with_resolved=True)) == 1

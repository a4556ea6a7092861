"""Every kind of conflict: when a schedule is made, when one is changed, and by night."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from sync_pipelines.apply.problems import ManifestError
from sync_pipelines.catalog.conflicts import Conflict, of_tenant
from sync_pipelines.catalog.tenants import find_tenant, put_limits
from sync_pipelines.engine.conflicts import review_for_all_tenants
from sync_pipelines.model.limits import TenantLimits
from sync_pipelines.timing.clashes import Kind, Severity
from tests.apply.conftest import Applier
from tests.world import START

CERTAIN, LIKELY = Severity
SERVER, FILE = "postgresql://u@h/house", "duckdb:////srv/house.duckdb"
FRAME = """\
tenant: acme
connections:
  shop: {connector: database, config: {url: "postgresql://u@h/shop"}}
  house: {connector: database, config: {url: "HOUSE"}}
syncs:
  orders:
    source: shop
    destination: house
    dataset: all
    streams: [orders]
    schedules:
      nightly: {type: daily, at: '02:00'}
"""


def another(keys: str) -> str:
    """A second schedule of the first sync."""
    return f"      second: {{{keys}}}\n"


def beside(stream: str, at: str) -> str:
    """A second sync into the same dataset."""
    return (
        "  beside: {source: shop, destination: house, dataset: all, "
        f"streams: [{{name: {stream}}}], schedules: {{s: {{type: daily, at: '{at}'}}}}}}\n"
    )


@dataclass(frozen=True, kw_only=True)
class Case:
    """A file's second part, calm and clashing. ``beneath`` makes the first the other unseen."""

    kind: Kind
    severity: Severity
    calm: str
    clashing: str
    says: str
    limits: TenantLimits = field(default_factory=TenantLimits)
    minutes: int | None = None
    house: str = SERVER
    beneath: str | None = None

    def file(self, part: str = "") -> str:
        return FRAME.replace("HOUSE", self.house) + part


CASES = {
    "duplicate": Case(
        kind=Kind.DUPLICATE,
        severity=CERTAIN,
        calm=another("type: cron, cron: '0 3 * * *'"),
        clashing=another("type: cron, cron: '0 2 * * *'"),
        says="two schedules of acme/orders fire alike",
        beneath="UPDATE sync.sync_schedules SET config = jsonb_set(config, '{cadence,cron}',"
        " '\"0 2 * * *\"') WHERE name = 'second'",
    ),
    "table": Case(
        kind=Kind.SHARED_TABLE,
        severity=CERTAIN,
        calm=beside("returns", "12:00"),
        clashing=beside("orders", "12:00"),
        says="acme/beside and acme/orders write the same table all.orders",
        beneath="UPDATE sync.syncs SET streams ="
        " (SELECT streams FROM sync.syncs WHERE name = 'orders') WHERE name = 'beside'",
    ),
    "overlap": Case(
        kind=Kind.OVERLAP,
        severity=LIKELY,
        calm=another("type: daily, at: '12:00'"),
        clashing=another("type: daily, at: '02:30'"),
        says="executions of acme/orders take up to 40 minutes",
        minutes=40,
    ),
    "schedules": Case(
        kind=Kind.LIMIT,
        severity=CERTAIN,
        calm=another("type: daily, at: '12:00', is_active: false"),
        clashing=another("type: daily, at: '12:00', is_active: true"),
        says="2 schedules are switched on; acme may have 1",
        limits=TenantLimits(schedules=1),
        beneath="UPDATE sync.sync_schedules SET is_active = true",
    ),
    "at once": Case(
        kind=Kind.LIMIT,
        severity=LIKELY,
        calm=beside("units", "12:00"),
        clashing=beside("units", "02:00"),
        says="2 executions would run at once at 2026-03-03 02:00 UTC; at most 1 may",
        limits=TenantLimits(concurrent=1),
    ),
    "an hour": Case(
        kind=Kind.LIMIT,
        severity=LIKELY,
        calm=another("type: daily, at: '03:00'"),
        clashing=another("type: daily, at: '02:59'"),
        says="2 executions would start within the hour up to 2026-03-03 02:59 UTC; at most 1 an",
        limits=TenantLimits(executions_per_hour=1),
    ),
    "a system": Case(
        kind=Kind.LIMIT,
        severity=LIKELY,
        calm=beside("units", "12:00"),
        clashing=beside("units", "02:00"),
        says="of those that use duckdb:////srv/house.duckdb, 2 executions would run at once",
        house=FILE,
    ),
}
every_kind = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def surround(apply: Applier, case: Case) -> None:
    """The limits of the tenant, and what its executions took."""
    with apply.catalog.begin() as db:
        put_limits(db, replace(find_tenant(db, "acme"), limits=case.limits), now=START)
        if case.minutes is not None:
            measured = text(
                "INSERT INTO sync.sync_executions (tenant_id, sync_id, trigger, status,"
                " created_at, started_at, completed_at, duration_ms)"
                " SELECT tenant_id, id, 'manual', 'completed', :at, :at, :at, :took"
                " FROM sync.syncs, generate_series(1, 3)"
            )
            db.execute(measured, {"at": START, "took": case.minutes * 60_000})


def recorded(apply: Applier) -> list[Conflict]:
    with apply.catalog.begin() as db:
        found = of_tenant(db, tenant_id=find_tenant(db, "acme").id)
    return [one.conflict for one in found]


def check(found: Iterable[Conflict], case: Case) -> None:
    (one,) = found
    assert (one.kind, one.severity) == (case.kind, case.severity)
    assert case.says in one.message
    assert one.remedy


def refuses_or_warns(apply: Applier, case: Case) -> None:
    """What is certain changes nothing; what is likely is done, told, and kept."""
    clashing = case.file(case.clashing)
    if case.severity is CERTAIN:
        with pytest.raises(ManifestError) as caught:
            apply(clashing)
        assert [case.says in one.message for one in caught.value.problems] == [True]
        assert recorded(apply) == []
        return
    plan = apply(clashing)
    check(plan.conflicts, case)
    check(recorded(apply), case)


@every_kind
def test_what_clashes_is_found_when_it_is_made(apply: Applier, case: Case) -> None:
    """R33-R36."""
    apply(case.file())
    surround(apply, case)

    refuses_or_warns(apply, case)


@every_kind
def test_what_clashes_is_found_when_what_is_there_is_changed(apply: Applier, case: Case) -> None:
    """R33-R36."""
    apply(case.file(case.calm))
    surround(apply, case)
    calm = apply(case.file(case.calm))

    assert calm.conflicts == ()
    refuses_or_warns(apply, case)


@every_kind
def test_what_clashes_is_found_by_night_though_nobody_changed_a_file(
    apply: Applier, case: Case
) -> None:
    """R36: a limit was lowered, a system has become slower, or an older version let it in."""
    apply(case.file(case.calm if case.beneath else case.clashing))
    surround(apply, case)
    with apply.catalog.begin() as db:
        db.execute(text(case.beneath or "SELECT 1"))
        db.execute(text("DELETE FROM sync.sync_schedule_conflicts"))

    reviewed = review_for_all_tenants(apply.catalog, now=START + timedelta(hours=1))

    assert reviewed.failed == ()
    check(recorded(apply), case)

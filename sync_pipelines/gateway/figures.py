"""What Prometheus is told of the catalog: read anew at most every few seconds.

Whatever the catalog cannot tell now is left out, and ``sync_catalog_up`` is 0; what is
known of this process is told all the same.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from time import perf_counter

import structlog
from prometheus_client import Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from sync_pipelines.catalog.budgets import Spent, spent_for_all_tenants
from sync_pipelines.catalog.delivered import (
    Outbox,
    arrived_for_all_tenants,
    outbox_for_all_tenants,
)
from sync_pipelines.catalog.metrics import (
    BUCKETS,
    RECORDS,
    Ended,
    Standing,
    ended_for_all_tenants,
    standing_for_all_tenants,
)
from sync_pipelines.gateway.delivery_figures import Deliveries, told_outbox
from sync_pipelines.gateway.doors import Doors
from sync_pipelines.gateway.health import free_bytes

REMEMBERED = timedelta(seconds=5)

SETTLING = timedelta(seconds=5)
"""An end counts so long after it: by then the transaction that says so is over."""

log = structlog.get_logger()


@dataclass(slots=True)
class Tally:
    """What ended of one connector, added up since the process began."""

    by_status: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    records: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    attempts: int = 0
    bytes_moved: int = 0
    durations: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    duration_seconds: float = 0.0
    lateness: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    late_seconds: float = 0.0

    def add(self, ended: Ended) -> None:
        """Count these too."""
        self.by_status[ended.status] += ended.number
        for kind, number in ended.records.items():
            self.records[kind] += number
        self.attempts += ended.attempts
        self.bytes_moved += ended.bytes_moved
        self.durations = [sum(pair) for pair in zip(self.durations, ended.durations, strict=True)]
        self.duration_seconds += ended.duration_seconds
        self.lateness = [sum(pair) for pair in zip(self.lateness, ended.lateness, strict=True)]
        self.late_seconds += ended.late_seconds


class Figures(Collector):
    """Reads the catalog for a registry; two scrapes within `REMEMBERED` read it once."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._lock = Lock()
        self._tallies: dict[str, Tally] = defaultdict(Tally)
        self._counted_until = doors.clock() - SETTLING
        self._looked_at: datetime | None = None
        self._standing: Standing | None = None
        self._outbox: Outbox | None = None
        self._deliveries = Deliveries()
        self._spent: Sequence[Spent] = ()
        self._seconds = 0.0

    def describe(self) -> Iterable[Metric]:
        """Nothing: to be told the names, the registry must not read the catalog."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Everything, as it stands."""
        with self._lock:
            self._look()
            is_up = self._standing is not None
            yield _gauge("sync_catalog_up", "Whether the catalog answers.", is_up)
            yield _gauge("sync_catalog_read_seconds", "What reading it took.", self._seconds)
            free = free_bytes(self._doors.settings.home_path)
            yield _gauge("sync_storage_free_bytes", "Free on the disk of SYNC_HOME.", free)
            if self._standing is not None:
                yield from _standing(self._standing)
                yield from _calls(self._spent)
            if self._outbox is not None:
                yield from told_outbox(self._outbox)
            yield from _ended(self._tallies)
            yield from self._deliveries.told()

    def _look(self) -> None:
        now = self._doors.clock()
        if self._looked_at is not None and now - self._looked_at < REMEMBERED:
            return
        until, began = max(now - SETTLING, self._counted_until), perf_counter()
        try:
            with self._doors.catalog.begin() as db:
                standing = standing_for_all_tenants(db, now)
                ended = ended_for_all_tenants(db, since=self._counted_until, until=until)
                outbox = outbox_for_all_tenants(db, now)
                arrived = arrived_for_all_tenants(db, since=self._counted_until, until=until)
                spent = spent_for_all_tenants(db)
        except SQLAlchemyError as error:
            log.warning("metrics.catalog_unread", error=type(error).__name__)
            self._looked_at, self._standing, self._outbox = now, None, None
            return
        for one in ended:
            self._tallies[one.connector].add(one)
        self._deliveries.add(arrived)
        self._outbox = outbox
        self._seconds = perf_counter() - began
        self._looked_at, self._standing, self._counted_until = now, standing, until
        self._spent = spent


def _standing(found: Standing) -> Iterator[Metric]:
    waiting = found.waiting
    yield _labelled(
        GaugeMetricFamily(
            "sync_executions",
            "Executions that have not ended; pending are due, later have their time to come.",
            labels=("status",),
        ),
        {
            "pending": waiting.pending,
            "later": waiting.later,
            "queued": waiting.queued,
            "running": waiting.running,
        },
    )
    depth = waiting.pending + waiting.queued
    yield _gauge("sync_queue_depth", "Executions that are due and do not run yet.", depth)
    oldest = waiting.oldest.total_seconds()
    yield _gauge("sync_queue_oldest_seconds", "How long the first of those pending waits.", oldest)
    lag = found.dispatch_lag.total_seconds()
    yield _gauge("sync_dispatch_lag_seconds", "Of the schedule that is most overdue.", lag)
    beats = {name: age.total_seconds() for name, age in found.beats.items()}
    for name, text, label, values in (
        ("sync_heartbeat_age_seconds", "Since a part's last sign of life.", "part", beats),
        ("sync_incidents_open", "What is wrong now.", "kind", found.incidents),
        ("sync_schedules", "Schedules.", "state", found.schedules),
    ):
        yield _labelled(GaugeMetricFamily(name, text, labels=(label,)), values)
    yield from _shares(found)
    yield from _webhooks(found)
    yield _gauge("sync_dead_letters_open", "Dead letters to be looked at.", found.dead_letters)
    size = found.database_bytes
    yield _gauge("sync_database_bytes", "What the catalog's database takes up.", size)


def _shares(found: Standing) -> Iterator[Metric]:
    text = "What a tenant has handed over or running; those with little work are one."
    in_flight = {one.tenant: one.in_flight for one in found.shares}
    family = GaugeMetricFamily("sync_tenant_in_flight", text, labels=("tenant",))
    yield _labelled(family, in_flight)
    text = "What of a tenant waits to be handed over; those with little work are one."
    waiting = {one.tenant: one.waiting for one in found.shares}
    yield _labelled(GaugeMetricFamily("sync_tenant_waiting", text, labels=("tenant",)), waiting)


def _webhooks(found: Standing) -> Iterator[Metric]:
    received = CounterMetricFamily(
        "sync_webhooks_received", "Genuine webhooks that came in.", labels=("scheme",)
    )
    refused = CounterMetricFamily(
        "sync_webhooks_refused", "Forged or unreadable webhooks.", labels=("scheme",)
    )
    yield _labelled(received, {scheme: both[0] for scheme, both in found.webhooks.items()})
    yield _labelled(refused, {scheme: both[1] for scheme, both in found.webhooks.items()})
    pending = found.pending_events
    yield _gauge("sync_webhook_events_pending", "Events that are not decided on.", pending)


def _calls(found: Sequence[Spent]) -> Iterator[Metric]:
    """Calls to providers, counted in the catalog by the processes that make them."""
    labels = ("tenant", "connection", "connector")
    calls = CounterMetricFamily("sync_api_calls", "Calls to providers.", labels=labels)
    throttles = CounterMetricFamily(
        "sync_api_throttles", "Answers that asked to slow down.", labels=labels
    )
    waited = CounterMetricFamily(
        "sync_api_waited_seconds", "How long calls stood still for a limit.", labels=labels
    )
    remaining = GaugeMetricFamily(
        "sync_api_remaining", "Calls that the provider says are left.", labels=labels
    )
    for one in found:
        of = (one.tenant, one.connection, one.connector)
        calls.add_metric(of, one.calls)
        throttles.add_metric(of, one.throttles)
        waited.add_metric(of, one.waited.total_seconds())
        if one.remaining is not None:
            remaining.add_metric(of, one.remaining)
    yield from (calls, throttles, waited, remaining)


def _ended(tallies: dict[str, Tally]) -> Iterator[Metric]:
    executions = CounterMetricFamily(
        "sync_executions_ended", "Executions that ended.", labels=("connector", "status")
    )
    records = CounterMetricFamily("sync_records", "Records moved.", labels=("connector", "kind"))
    attempts = CounterMetricFamily("sync_attempts", "Attempts made.", labels=("connector",))
    moved = CounterMetricFamily("sync_bytes_moved", "Bytes moved.", labels=("connector",))
    duration = HistogramMetricFamily(
        "sync_execution_duration_seconds", "From start to end.", labels=("connector",)
    )
    late = HistogramMetricFamily(
        "sync_execution_lateness_seconds", "From due to started.", labels=("connector",)
    )
    for connector, tally in sorted(tallies.items()):
        for status, number in sorted(tally.by_status.items()):
            executions.add_metric((connector, status), number)
        for kind in RECORDS:
            records.add_metric((connector, kind), tally.records[kind])
        attempts.add_metric((connector,), tally.attempts)
        moved.add_metric((connector,), tally.bytes_moved)
        duration.add_metric((connector,), _summed(tally.durations), tally.duration_seconds)
        late.add_metric((connector,), _summed(tally.lateness), tally.late_seconds)
    yield from (executions, records, attempts, moved, duration, late)


def _summed(counts: Sequence[int]) -> list[tuple[str, float]]:
    """Each bucket with all below it, as Prometheus has them."""
    bounds = [*map(str, BUCKETS), "+Inf"]
    return [(bound, sum(counts[: place + 1])) for place, bound in enumerate(bounds)]


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _labelled(
    family: GaugeMetricFamily | CounterMetricFamily, values: Mapping[str, float]
) -> Metric:
    for label, value in sorted(values.items()):
        family.add_metric((label,), value)
    return family

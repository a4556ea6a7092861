"""From a message in the outbox to its receiver: how soon, how many a second, at what cost.

First a full outbox is emptied, by rules of several tenants; what the deliverer asks of the
database is counted. Then one message after the other is put in, at a steady pace, while more
receivers than there are threads answer slowly, and each is timed until a quick one has it.
Receivers are a process of their own.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from random import Random
from statistics import quantiles
from uuid import UUID, uuid4

from sqlalchemy import event, text

from benchmarks.case import Budget, Case, Contender, Limit, Size
from benchmarks.place import Place
from benchmarks.processes import child
from benchmarks.receivers import receivers
from benchmarks.scheduling import nothing
from benchmarks.task import Measure, Task, Work, peak_mb
from sync_pipelines.catalog.notifications import put_rule
from sync_pipelines.catalog.outbox import Posted, post
from sync_pipelines.catalog.secrets import SecretBox, new_key
from sync_pipelines.catalog.store import Catalog, open_catalog
from sync_pipelines.catalog.syncs import put_tenant
from sync_pipelines.clock import system_clock
from sync_pipelines.model.notification import Channel, Notice, Rule, Severity, Topic
from sync_pipelines.notify.delivery import THREADS, Deliverer
from sync_pipelines.notify.sending import Senders
from sync_pipelines.notify.targets import new_signing_secret
from sync_pipelines.notify.webhook import WebhookSender
from sync_pipelines.runtime.waiting import wait_until

TENANTS = 5
EACH = 4
"""Rules of a tenant."""

PER_SECOND = 50
PATIENCE_SECONDS = 120.0

_LEFT = text("SELECT count(*) FROM sync.outbox WHERE state = 'pending' AND rule_id = ANY(:rules)")

_WAITED = text("""
    SELECT extract(epoch FROM (receipts -> 0 ->> 'begun_at')::timestamptz - created_at)
    FROM sync.outbox WHERE rule_id = ANY(:rules) AND created_at >= :since ORDER BY 1
""")


def deliveries(place: Place, size: Size) -> Case:
    """A deliverer in a process of its own, its receivers on loopback."""
    messages = max(size.rows // 200, 40)
    task = Task(
        work=Work.DELIVER,
        source="",
        destination="",
        catalog=place.catalog,
        due=messages,
        times=max(size.rows // 2000, 20),
    )
    limits = {"until first tried, p99 s": Limit(at_most=2.0), "delivered/s": Limit(at_least=100)}
    return Case(
        name="deliveries",
        title=f"Webhooks out, {messages:,} that wait and then {PER_SECOND} a second",
        rows=0,
        contenders=[
            Contender(
                name="deliverer",
                run=partial(child, task),
                prepare=nothing,
                budget=Budget(figures=limits),
            )
        ],
        before_round=nothing,
        check=nothing,
        rounds=1,
    )


def delivered(task: Task) -> Measure:
    """What a deliverer takes for ``task.due`` that wait, and ``task.times`` that come."""
    secrets = SecretBox((new_key(),))
    with (
        receivers() as url,
        closing(open_catalog(task.catalog, secrets)) as mine,
        closing(open_catalog(task.catalog, secrets)) as its,
    ):
        with mine.begin() as db:
            db.execute(text("TRUNCATE sync.tenants CASCADE"))
        quick = [rule for number in range(TENANTS) for rule in _rules(mine, number, f"{url}/ok")]
        _post(mine, [quick[number % len(quick)] for number in range(task.due)])
        statements = _counting(its)
        slow = [
            rule
            for number in range(-(-2 * THREADS // EACH))
            for rule in _rules(mine, TENANTS + number, f"{url}/slow")
        ]
        began = time.perf_counter()
        with _delivering(its):
            _wait(mine, quick)
            taken, a_delivery = time.perf_counter() - began, statements() / task.due
            waits = _paced(mine, quick, slow, times=task.times)
    parts = quantiles(waits, n=100, method="inclusive")
    return Measure(
        seconds=taken,
        cpu_seconds=0.0,
        peak_mb=peak_mb(),
        processed=task.due,
        figures={
            "delivered/s": task.due / taken,
            "statements each": a_delivery,
            "until first tried, p50 s": parts[49],
            "until first tried, p99 s": parts[98],
        },
    )


def _paced(
    catalog: Catalog, quick: Sequence[Rule], slow: Sequence[Rule], *, times: int
) -> list[float]:
    """How long each waits that comes while slow receivers have all that is theirs to do."""
    since = system_clock()
    _post(catalog, [*slow, *slow])
    due = time.perf_counter()
    for number in range(times):
        due += 1 / PER_SECOND
        time.sleep(max(0.0, due - time.perf_counter()))
        _post(catalog, [quick[number % len(quick)]])
    _wait(catalog, quick)
    with catalog.begin() as db:
        arguments = {"rules": [rule.id for rule in quick], "since": since}
        return [float(waited) for waited in db.scalars(_WAITED, arguments)]


def _rules(catalog: Catalog, tenant: int, url: str) -> Iterator[Rule]:
    with catalog.begin() as db:
        tenant_id = put_tenant(db, f"tenant-{tenant}")
        for number in range(EACH):
            rule = Rule(
                id=uuid4(),
                tenant_id=tenant_id,
                name=f"hook {number}",
                channel=Channel.WEBHOOK,
                topics=(Topic.FAILURE,),
                targets=(url,),
                signing=(new_signing_secret(Random(number)),),
                shown=url,
            )
            put_rule(db, catalog.secrets, rule, now=system_clock())
            yield rule


def _post(catalog: Catalog, rules: Sequence[Rule]) -> None:
    now = system_clock()
    posted = [
        Posted(
            tenant_id=rule.tenant_id,
            rule_id=rule.id,
            channel=rule.channel,
            recipient=rule.shown or "",
            notice=_notice(uuid4()),
            not_before=now,
        )
        for rule in rules
    ]
    with catalog.begin() as db:
        for first in range(0, len(posted), 1000):
            post(db, posted[first : first + 1000], now=now)


def _notice(event: UUID) -> Notice:
    return Notice(
        event_id=f"execution:{event}:failure",
        topic=Topic.FAILURE,
        severity=Severity.CRITICAL,
        at=system_clock(),
        payload={"version": 1, "id": str(event), "type": "failure", "path": "/syncs"},
    )


@contextmanager
def _delivering(catalog: Catalog) -> Iterator[None]:
    with closing(WebhookSender(clock=system_clock, allow_private=True)) as sender:
        senders = Senders(by_channel={Channel.WEBHOOK: sender}, base_url="http://localhost")
        deliverer = Deliverer(catalog, senders, clock=system_clock, rng=Random())
        deliverer.start()
        try:
            yield
        finally:
            deliverer.stop()


def _wait(catalog: Catalog, rules: Sequence[Rule]) -> None:
    def is_done() -> bool:
        with catalog.begin() as db:
            left: int = db.execute(_LEFT, {"rules": [rule.id for rule in rules]}).scalar_one()
            return left == 0

    if not wait_until(is_done, seconds=PATIENCE_SECONDS, every=0.05):
        raise RuntimeError(f"not all were delivered within {PATIENCE_SECONDS:.0f} s")


def _counting(catalog: Catalog) -> Callable[[], int]:
    """Counts what is asked from now on, besides BEGIN and COMMIT; how much it is so far."""
    found = 0

    def note(*_: object) -> None:
        nonlocal found
        found += 1

    event.listen(catalog.engine, "before_cursor_execute", note)
    return lambda: found

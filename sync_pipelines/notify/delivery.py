"""Delivers what is due: takes messages, and lets each rule's have a turn in a thread.

Laws:

* Any number of workers may run, in any number of processes: each takes messages of its own.
* A slow receiver holds up its own messages alone: what is not known to be quick shares some
  of the threads, and the rest is for what is.
* What a worker has taken is taken by others as soon as it gives no sign of life.
"""

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime
from random import Random
from threading import Event, Thread
from time import monotonic
from uuid import UUID

import structlog
from sqlalchemy.exc import OperationalError

from connectors.errors import ConfigError
from sync_pipelines.catalog import delivering, notifications
from sync_pipelines.catalog.delivering import LEASE, OF_A_RULE, Quick
from sync_pipelines.catalog.outbox import Delivery
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.clock import Clock
from sync_pipelines.notify.lanes import Lanes, Target
from sync_pipelines.notify.sending import Senders
from sync_pipelines.notify.turns import Tools, Turn, lost, note

log = structlog.get_logger()

THREADS = 16
FOR_OTHERS = 10
"""So many of the threads may have what is slow, or was never tried."""

AT_ONCE = 4
"""So many threads may send to one target that is known to be quick."""

POLL_SECONDS = 0.5
RENEW_SECONDS = LEASE.total_seconds() / 4


def deliver_due(
    catalog: Catalog, senders: Senders, now: datetime, *, clock: Clock, rng: Random
) -> int:
    """Try what is due, a few messages of each of some rules; how many were taken.

    ``clock`` says when an attempt ended, ``now`` what is due.
    """
    tools = Tools(
        catalog=catalog,
        senders=senders,
        clock=clock,
        rng=rng,
        timer=monotonic,
        is_stopping=lambda: False,
    )
    take_back(tools, now)
    turns = _take(tools, now, rules=THREADS)
    if turns:
        with ThreadPoolExecutor(THREADS, thread_name_prefix="delivery") as pool:
            for _ in pool.map(Turn.deliver, turns):
                pass
    return sum(len(turn.mine) for turn in turns)


class Deliverer:
    """Delivers in threads of its own until it is stopped; of these, any number may run."""

    def __init__(
        self,
        catalog: Catalog,
        senders: Senders,
        *,
        clock: Clock,
        rng: Random,
        timer: Callable[[], float] = monotonic,
    ) -> None:
        """``timer`` counts seconds from anywhere."""
        self._stop = Event()
        self._tools = Tools(
            catalog=catalog,
            senders=senders,
            clock=clock,
            rng=rng,
            timer=timer,
            is_stopping=self._stop.is_set,
        )
        self._lanes = Lanes(most_others=FOR_OTHERS)
        self._running: dict[Future[None], tuple[Turn, float]] = {}
        self._looked_at = -RENEW_SECONDS
        self._thread = Thread(target=self._run, name="deliverer", daemon=True)

    def start(self) -> None:
        """Start."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what is being sent, give back the rest, and end."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with ThreadPoolExecutor(THREADS, thread_name_prefix="delivery") as pool:
            while self._running or not self._stop.is_set():
                try:
                    self._look_after()
                    turns = [] if self._stop.is_set() else self._take_some()
                except (OperationalError, ConfigError) as error:
                    # The catalog does not answer, or a key is missing: both may pass.
                    log.warning("delivery.interrupted", error=str(error))
                    turns = []
                for turn in turns:
                    self._running[pool.submit(turn.deliver)] = (turn, self._tools.timer())
                self._wait(is_idle=not turns)

    def _wait(self, *, is_idle: bool) -> None:
        """Until a turn is over, or it is time to look again."""
        if self._running and (is_idle or len(self._running) >= THREADS):
            wait(self._running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
        elif is_idle:
            self._stop.wait(POLL_SECONDS)
        for future in [one for one in self._running if one.done()]:
            self._learn(*self._running.pop(future), error=future.exception())

    def _learn(self, turn: Turn, began: float, *, error: BaseException | None) -> None:
        if error is not None:  # whoever takes its messages next goes on with them
            log.error("delivery.broken_off", error=repr(error))
        target, now = Target.of(turn.mine[0]), self._tools.timer()
        self._lanes.note(target, longest_seconds=turn.longest_seconds, now=now)

    def _look_after(self) -> None:
        """Say that we go on, and free what others have had who do not."""
        now = self._tools.timer()
        if now - self._looked_at < RENEW_SECONDS:
            return
        self._looked_at = now
        takers = [turn.taker for turn, _ in self._running.values() if turn.taker]
        if takers:
            with self._tools.catalog.begin() as db:
                delivering.renew(db, takers, now=self._tools.clock())
        take_back(self._tools, self._tools.clock())

    def _take_some(self) -> list[Turn]:
        """As many turns as there are threads: of what is quick first, then of all else."""
        tools, now = self._tools, self._tools.clock()
        free = THREADS - len(self._running)
        if free <= 0:
            return []
        quick = self._lanes.quick()
        turns: list[Turn] = []
        if quick.rules or quick.channels:
            turns = _take(tools, now, rules=max(1, free // AT_ONCE), quick=quick)
        room = self._lanes.room(
            (Target.of(turn.mine[0]), tools.timer() - began)
            for turn, began in self._running.values()
        )
        room = min(room, free - len(turns))
        if room > 0:
            turns += _take(tools, now, rules=room, quick=quick, is_quick=False)
        return turns


def take_back(tools: Tools, now: datetime) -> None:
    """Take from their owners the messages of processes that have ended, or fell silent."""
    with tools.catalog.begin() as db:
        lapsed = delivering.lapsed_for_all_tenants(db, now=now)
        for delivery in lapsed:
            if delivery.begun_at is not None:
                note(db, lost(delivery, now=now, rng=tools.rng), rule=None, now=now)
        delivering.give_back(db, [one for one in lapsed if one.begun_at is None])


def _take(
    tools: Tools, now: datetime, *, rules: int, quick: Quick | None = None, is_quick: bool = True
) -> list[Turn]:
    with tools.catalog.begin() as db:
        taken = delivering.take_for_all_tenants(
            db, now=now, rules=rules, quick=quick, is_quick=is_quick
        )
        if not taken:
            return []
        found = notifications.rules_for_all_tenants(
            db, tools.catalog.secrets, {delivery.rule_id for delivery in taken}
        )
    by_rule: dict[UUID, list[Delivery]] = {}
    for delivery in taken:
        by_rule.setdefault(delivery.rule_id, []).append(delivery)
    of_a_turn = OF_A_RULE // AT_ONCE if quick is not None and is_quick else OF_A_RULE
    return [
        Turn(tools=tools, rule=found.get(rule_id), mine=tuple(mine[first : first + of_a_turn]))
        for rule_id, mine in by_rule.items()
        for first in range(0, len(mine), of_a_turn)
    ]

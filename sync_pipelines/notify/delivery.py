"""Delivers what is due: takes messages, and lets each rule's have a turn in a thread.

Laws:

* Any number of workers may run, in any number of processes: each takes messages of its own.
* A slow receiver holds up its own messages alone: what is not known to be quick shares some
  of the threads, and the rest is for what is.
* What a worker has taken is taken by others as soon as its process ends, or when it has
  given no sign of life for a while.
"""

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from datetime import datetime, timedelta
from random import Random
from threading import Event, Thread
from time import monotonic
from uuid import UUID

import structlog
from sqlalchemy.exc import OperationalError

from connectors.errors import ConfigError
from sync_pipelines.catalog import delivering, notifications
from sync_pipelines.catalog.deliverers import Presence
from sync_pipelines.catalog.delivering import LEASE, OF_A_RULE, Quick
from sync_pipelines.catalog.outbox import Delivery
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.clock import Clock
from sync_pipelines.notify.lanes import MOST_READ, REMEMBERED_SECONDS, Lanes, Target
from sync_pipelines.notify.sending import Senders
from sync_pipelines.notify.turns import Tools, Turn, lost, note

log = structlog.get_logger()

THREADS = 16
FOR_OTHERS = 10
"""So many of the threads may have what is slow, or was never tried."""

AT_ONCE = 4
"""So many threads may send to one target that is known to be quick."""

POLL_SECONDS = 0.5
GATHER_SECONDS = 0.1
"""What comes in meanwhile is taken at once: under load each look costs more than a message."""

LOOK_SECONDS = 1.0
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
        self._presence = Presence(catalog, rng)
        self._lanes = Lanes(most_others=FOR_OTHERS)
        self._is_informed = False
        self._trouble: str | None = None
        self._running: dict[Future[None], tuple[Turn, float]] = {}
        self._looked_at = -LOOK_SECONDS
        self._thread = Thread(target=self._run, name="deliverer", daemon=True)

    def start(self) -> None:
        """Start."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what is being sent, give back the rest, and end."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        pool = ThreadPoolExecutor(THREADS, thread_name_prefix="delivery")
        with closing(self._presence), pool:
            while self._running or not self._stop.is_set():
                turns, has_more = self._look()
                for turn in turns:
                    self._running[pool.submit(turn.deliver)] = (turn, self._tools.timer())
                self._wait(is_idle=not turns, has_more=has_more)

    def _look(self) -> tuple[list[Turn], bool]:
        """What is to be done now, and whether more may wait."""
        try:
            self._look_after()
            found = ([], False) if self._stop.is_set() else self._take_some()
        except (OperationalError, ConfigError) as error:
            # The catalog does not answer, or a key is missing: both may pass.
            if str(error) != self._trouble:  # said once, not with each look
                log.warning("delivery.interrupted", error=str(error))
            self._trouble = str(error)
            return [], False
        if self._trouble is not None:
            log.info("delivery.resumed")
            self._trouble = None
        return found

    def _wait(self, *, is_idle: bool, has_more: bool) -> None:
        """Until a turn is over, or it is time to look again."""
        is_full = len(self._running) >= THREADS
        if self._running and (is_idle or is_full):
            wait(self._running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
        elif is_idle:
            self._stop.wait(POLL_SECONDS)
        if not (is_full or has_more):
            self._stop.wait(GATHER_SECONDS)
        for future in [one for one in self._running if one.done()]:
            self._learn(*self._running.pop(future), error=future.exception())

    def _learn(self, turn: Turn, began: float, *, error: BaseException | None) -> None:
        if error is not None:  # whoever takes its messages next goes on with them
            log.error("delivery.broken_off", error=repr(error))
        self._lanes.note(turn.target, longest_seconds=turn.longest_seconds, now=self._tools.timer())

    def _look_after(self) -> None:
        """Say that we go on, and free what others have had who do not."""
        tools, now = self._tools, self._tools.timer()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        self._presence.hold()
        if not self._is_informed:
            self._recall()
        long = [turn for turn, began in self._running.values() if now - began >= RENEW_SECONDS]
        if long:
            with tools.catalog.begin() as db:
                takers = [turn.taker for turn in long if turn.taker]
                delivering.renew(db, takers, now=tools.clock())
        take_back(tools, tools.clock())

    def _recall(self) -> None:
        """Learn who is quick from what was delivered before we started."""
        tools, now = self._tools, self._tools.timer()
        since = tools.clock() - timedelta(seconds=REMEMBERED_SECONDS)
        with tools.catalog.begin() as db:
            known = delivering.sending_seconds_for_all_tenants(db, since=since, most=MOST_READ)
        for channel, rule_id, seconds in known:
            self._lanes.note(Target.of(channel, rule_id), longest_seconds=seconds, now=now)
        self._is_informed = True

    def _take_some(self) -> tuple[list[Turn], bool]:
        """As many turns as there are threads: of what is quick first, then of all else.

        And whether as much was found as was asked for.
        """
        tools, now, number = self._tools, self._tools.clock(), self._presence.number
        free = THREADS - len(self._running)
        if free <= 0:
            return [], True
        quick = self._lanes.quick()
        turns: list[Turn] = []
        asked = 0
        if quick.rules or quick.channels:
            asked = max(1, free // AT_ONCE)
            turns = _take(tools, now, rules=asked, quick=quick, taken_in=number)
        room = self._lanes.room(
            (turn.target, tools.timer() - began) for turn, began in self._running.values()
        )
        room = max(0, min(room, free - len(turns)))
        has_more = 0 < asked <= _rules(turns)
        if room > 0:
            others = _take(tools, now, rules=room, quick=quick, is_quick=False, taken_in=number)
            has_more = has_more or _rules(others) == room
            turns += others
        return turns, has_more


def _rules(turns: list[Turn]) -> int:
    return len({turn.taker for turn in turns})


def take_back(tools: Tools, now: datetime) -> None:
    """Take from their owners the messages of processes that have ended, or fell silent."""
    with tools.catalog.begin() as db:
        lapsed = delivering.lapsed_for_all_tenants(db, now=now)
        for delivery in lapsed:
            if delivery.begun_at is not None:
                note(db, lost(delivery, now=now, rng=tools.rng), rule=None, now=now)
        delivering.give_back(db, [one for one in lapsed if one.begun_at is None])


def _take(
    tools: Tools,
    now: datetime,
    *,
    rules: int,
    quick: Quick | None = None,
    is_quick: bool = True,
    taken_in: int | None = None,
) -> list[Turn]:
    with tools.catalog.begin() as db:
        taken = delivering.take_for_all_tenants(
            db, now=now, rules=rules, quick=quick, is_quick=is_quick, taken_in=taken_in
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

"""Is it alive, can it work, does the scheduler? Asked by whoever restarts, routes or alarms.

Laws:

* Open to everybody, so it says nothing of any tenant, and a flood of questions asks the
  catalog once a second at most.
* A catalog that hangs makes the answer 503, not late.
"""

import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import Generic, Literal, TypeVar

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from sqlalchemy import Connection as Db
from sqlalchemy.exc import SQLAlchemyError

from sync_pipelines.catalog import heartbeats, incidents, metrics
from sync_pipelines.catalog.incidents import Kind
from sync_pipelines.catalog.store import is_current
from sync_pipelines.engine.signs import LATE, signs
from sync_pipelines.gateway.doors import Doors, ItsDoors

router = APIRouter(prefix="/health", tags=["health"])

Answer = TypeVar("Answer")

REMEMBERED = timedelta(seconds=1)

PATIENCE_SECONDS = 5.0

ASKING = 4
"""So many probes may wait for a catalog that hangs; they take no thread of anybody's."""

LEAST_FREE_BYTES = 512 * 1024 * 1024
"""With less, PostgreSQL will soon be unable to write."""


class Alive(BaseModel):
    """The process answers."""

    status: str = "alive"


class Reason(BaseModel):
    """What is wrong, and what helps."""

    what: str
    remedy: str


class Ready(BaseModel):
    """Whether requests can be served."""

    status: Literal["ready", "not ready"]
    reasons: list[Reason]


class Beat(BaseModel):
    """When a part gave its last sign of life, and how often it should."""

    part: str
    at: datetime
    every_seconds: int


class Queue(BaseModel):
    """Executions that have not ended. ``pending`` are due and not yet handed to Dagster."""

    pending: int
    queued: int
    running: int
    oldest_seconds: float


class Storage(BaseModel):
    """``free_bytes`` are those of the disk that holds ``SYNC_HOME``."""

    database_bytes: int
    free_bytes: int


class Scheduler(BaseModel):
    """How scheduling does. ``dispatch_lag_seconds`` is of the schedule most overdue."""

    status: Literal["good", "bad"]
    reasons: list[Reason]
    beats: list[Beat]
    dispatch_lag_seconds: float
    silent_schedules: int
    queue: Queue
    storage: Storage


class Remembered(Generic[Answer]):
    """The answer of a moment ago, found out anew by one asker at a time."""

    def __init__(self, find: Callable[[Doors], Answer]) -> None:
        self._find = find
        self._lock = Lock()
        self._held: tuple[datetime, Answer] | None = None

    def of(self, doors: Doors) -> Answer:
        """The answer, no older than `REMEMBERED`."""
        with self._lock:
            now = doors.clock()
            if self._held is None or not timedelta(0) <= now - self._held[0] < REMEMBERED:
                self._held = (now, self._find(doors))
            return self._held[1]


class Probes:
    """What one application remembers of its probes."""

    def __init__(self) -> None:
        self.ready = Remembered(_ready)
        self.scheduler = Remembered(_scheduler)
        self.threads = anyio.CapacityLimiter(ASKING)


@router.get("/live")
async def live() -> Alive:
    """Whether this process answers. Asks nobody else: a restart would not help them."""
    return Alive()


@router.get("/ready", responses={503: {"model": Ready}})
async def ready(request: Request, response: Response, doors: ItsDoors) -> Ready:
    """Whether this gateway can serve: its catalog answers, and has the tables it knows."""
    probes: Probes = request.app.state.probes
    found = await _in_time(probes, lambda: probes.ready.of(doors))
    if found is None:
        found = Ready(status="not ready", reasons=[_no_catalog("does not answer in time")])
    if found.reasons:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return found


@router.get("/scheduler", responses={503: {"model": Scheduler | Ready}})
async def scheduler(request: Request, response: Response, doors: ItsDoors) -> Scheduler | Ready:
    """Whether what is due is started: by signs of life, lag, queue and storage."""
    probes: Probes = request.app.state.probes
    found = await _in_time(probes, lambda: probes.scheduler.of(doors))
    if found is None:
        found = Ready(status="not ready", reasons=[_no_catalog("does not answer in time")])
    if found.reasons:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return found


async def _in_time(probes: Probes, ask: Callable[[], Answer]) -> Answer | None:
    with anyio.move_on_after(PATIENCE_SECONDS):
        return await run_sync(ask, limiter=probes.threads, abandon_on_cancel=True)
    return None


def _ready(doors: Doors) -> Ready:
    try:
        with doors.catalog.begin() as db:
            is_ours = is_current(db)
    except SQLAlchemyError as error:
        reason = _no_catalog(f"does not answer ({type(error).__name__})")
        return Ready(status="not ready", reasons=[reason])
    if is_ours:
        return Ready(status="ready", reasons=[])
    reason = Reason(
        what="the catalog's tables are not those that this version knows",
        remedy="run the same version everywhere; starting the newest brings the tables up to date",
    )
    return Ready(status="not ready", reasons=[reason])


def _scheduler(doors: Doors) -> Scheduler | Ready:
    try:
        with doors.catalog.begin() as db:
            return _looked_at(db, doors)
    except SQLAlchemyError as error:
        reason = _no_catalog(f"does not answer ({type(error).__name__})")
        return Ready(status="not ready", reasons=[reason])


def _looked_at(db: Db, doors: Doors) -> Scheduler:
    now = doors.clock()
    waiting = metrics.waiting_for_all_tenants(db, now)
    lag = metrics.dispatch_lag_for_all_tenants(db, now)
    silent = len(incidents.open_subjects_for_all_tenants(db, Kind.SILENT_SCHEDULE))
    free = free_bytes(doors.settings.home_path)
    alarms = [Reason(what=one.message, remedy=one.remedy) for one in signs(db, now)]
    reasons = [*alarms, *_wrong(lag=lag, silent=silent, free=free)]
    return Scheduler(
        status="bad" if reasons else "good",
        reasons=reasons,
        beats=[
            Beat(part=name, at=beat.at, every_seconds=beat.every_seconds)
            for name, beat in sorted(heartbeats.read_all(db).items())
        ],
        dispatch_lag_seconds=lag.total_seconds(),
        silent_schedules=silent,
        queue=Queue(
            pending=waiting.pending,
            queued=waiting.queued,
            running=waiting.running,
            oldest_seconds=waiting.oldest.total_seconds(),
        ),
        storage=Storage(database_bytes=metrics.database_bytes(db), free_bytes=free),
    )


def free_bytes(path: Path) -> int:
    """What is left on the disk that holds a path, also where nothing is there yet."""
    there = next(one for one in (path, *path.parents) if one.exists())
    return shutil.disk_usage(there).free


def _wrong(*, lag: timedelta, silent: int, free: int) -> Iterator[Reason]:
    if lag > LATE:
        yield Reason(
            what=f"a schedule has been due for {lag.total_seconds():.0f} s and is not decided on",
            remedy="see the other reasons; `sync-pipelines incidents` names the dispatcher",
        )
    if silent:
        yield Reason(
            what=f"{silent} schedules start nothing: their rows cannot be read",
            remedy="`sync-pipelines incidents` names them; apply their files again",
        )
    if free < LEAST_FREE_BYTES:
        yield Reason(
            what=f"the disk of SYNC_HOME has {free // 1024**2} MB left",
            remedy="make room, or shorten what is kept (SYNC_RETENTION_DAYS)",
        )


def _no_catalog(how: str) -> Reason:
    return Reason(
        what=f"the catalog's database {how}",
        remedy="look at whether PostgreSQL runs, and is reached at SYNC_DATABASE_URL",
    )

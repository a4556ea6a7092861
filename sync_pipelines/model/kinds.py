"""The kinds of cadence: each says, as data, when a sync should run.

Laws:

* A cadence that exists is valid: its constructor refuses what could never run.
* Equal cadences are equal values: times and days are kept sorted, each once.
* Times are wall times. Which instants they are is ``timing``'s to say.
"""

from dataclasses import dataclass
from datetime import time
from enum import StrEnum
from typing import ClassVar, TypeAlias

from sync_pipelines.model.condition import MOST_CONDITIONS, Condition
from sync_pipelines.model.cron import CronError, expression_at, five_fields, listed
from sync_pipelines.model.wall import (
    CadenceError,
    Weekday,
    check_times,
    read_choice,
    read_sync_name,
    read_weekday,
    read_whole,
    write_interval,
)

LONGEST_MINUTES = 366 * 24 * 60
"""The longest interval: a year, be it a long one."""

DEFAULT_AT = (time(2),)


class ScheduleType(StrEnum):
    """A cadence's kind, as ``sync_schedules.schedule_type`` stores it."""

    REALTIME = "realtime"
    EVERY = "every"
    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    CUSTOM = "custom"
    EVENT = "event"
    AFTER = "after"
    ADAPTIVE = "adaptive"
    MANUAL = "manual"


class EventTrigger(StrEnum):
    """Where an event comes from."""

    WEBHOOK = "webhook"
    API = "api"
    USER_ACTION = "user-action"


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """Every so many real minutes, counted from an anchor, whatever clocks show."""

    schedule_type: ClassVar[ScheduleType] = ScheduleType.EVERY
    cron_expression: ClassVar[None] = None
    minutes: int

    def __post_init__(self) -> None:
        read_whole("minutes", self.minutes, least=1, most=LONGEST_MINUTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hourly:
    """Once an hour, when the clock shows that minute."""

    schedule_type: ClassVar[ScheduleType] = ScheduleType.HOURLY
    minute: int = 0

    def __post_init__(self) -> None:
        read_whole("minute", self.minute, least=0, most=59)

    @property
    def cron_expression(self) -> str:
        """The same cadence as cron."""
        return f"{self.minute} * * * *"


@dataclass(frozen=True, slots=True, kw_only=True)
class Daily:
    """Every day at these times."""

    schedule_type: ClassVar[ScheduleType] = ScheduleType.DAILY
    at: tuple[time, ...] = DEFAULT_AT

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", check_times(self.at))

    @property
    def cron_expression(self) -> str | None:
        """The same cadence as cron; None when no one expression has just these times."""
        return expression_at(self.at, "* * *")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weekly:
    """On these days of the week at these times."""

    schedule_type: ClassVar[ScheduleType] = ScheduleType.WEEKLY
    days: tuple[Weekday, ...] = (Weekday.SUN,)
    at: tuple[time, ...] = DEFAULT_AT

    def __post_init__(self) -> None:
        days = sorted({read_weekday(day) for day in self.days}, key=lambda day: day.iso)
        if not days:
            raise CadenceError("days", "days is empty; name at least one, such as mon")
        object.__setattr__(self, "days", tuple(days))
        object.__setattr__(self, "at", check_times(self.at))

    @property
    def cron_expression(self) -> str | None:
        """The same cadence as cron; None when no one expression has just these times."""
        return expression_at(self.at, f"* * {listed(day.iso % 7 for day in self.days)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Monthly:
    """On these days of the month, and on its last day if ``last``, at these times.

    A month without a day, such as February without a 31st, skips it. Where the last
    day is also one of ``days``, it counts once.
    """

    schedule_type: ClassVar[ScheduleType] = ScheduleType.MONTHLY
    days: tuple[int, ...] = (1,)
    last: bool = False
    at: tuple[time, ...] = DEFAULT_AT

    def __post_init__(self) -> None:
        if not self.days and not self.last:
            raise CadenceError("days", "days is empty; name at least one, such as 1 or last")
        days = {read_whole("days", day, least=1, most=31) for day in self.days}
        object.__setattr__(self, "days", tuple(sorted(days)))
        object.__setattr__(self, "at", check_times(self.at))

    @property
    def cron_expression(self) -> str | None:
        """The same cadence as cron; None when no one expression has just these times."""
        days = ",".join([*map(str, self.days), *["L"] * self.last])
        return expression_at(self.at, f"{days} * *")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """As a cron expression says; ``expression`` is what the tenant wrote."""

    schedule_type: ClassVar[ScheduleType] = ScheduleType.CUSTOM
    expression: str

    def __post_init__(self) -> None:
        try:
            five_fields(self.expression)
        except CronError as error:
            raise CadenceError("cron", str(error)) from error

    @property
    def cron_expression(self) -> str:
        """The expression in five fields."""
        return five_fields(self.expression)


@dataclass(frozen=True, slots=True, kw_only=True)
class Realtime:
    """Whenever the other system says that something changed; no clock drives it."""

    schedule_type: ClassVar[ScheduleType] = ScheduleType.REALTIME
    cron_expression: ClassVar[None] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Whenever such an event arrives and all ``conditions`` on its fields hold."""

    schedule_type: ClassVar[ScheduleType] = ScheduleType.EVENT
    cron_expression: ClassVar[None] = None
    trigger: EventTrigger
    conditions: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        trigger = read_choice("trigger", self.trigger, EventTrigger)
        object.__setattr__(self, "trigger", trigger)
        if len(self.conditions) > MOST_CONDITIONS:
            raise CadenceError(
                "conditions",
                f"conditions has {len(self.conditions)} of them; write at most {MOST_CONDITIONS}",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """Whenever another sync of the same tenant has succeeded.

    ``sync`` is its name, or ``tenant/name``.
    """

    schedule_type: ClassVar[ScheduleType] = ScheduleType.AFTER
    cron_expression: ClassVar[None] = None
    sync: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "sync", read_sync_name("sync", self.sync))

    def key(self, tenant: str) -> str:
        """The other sync's ``tenant/name``; CadenceError if it is not this tenant's."""
        owner, slash, name = self.sync.rpartition("/")
        if slash and owner != tenant:
            raise CadenceError(
                "sync",
                f"sync {self.sync!r} belongs to another tenant; name one of {tenant!r}'s own",
            )
        return f"{tenant}/{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptive:
    """At intervals between ``least`` and ``most`` minutes that follow how often things change.

    ``timing.adaptive`` chooses the interval; before anything is known it is ``least``.
    """

    schedule_type: ClassVar[ScheduleType] = ScheduleType.ADAPTIVE
    cron_expression: ClassVar[None] = None
    least: int
    most: int

    def __post_init__(self) -> None:
        read_whole("least", self.least, least=1, most=LONGEST_MINUTES)
        read_whole("most", self.most, least=1, most=LONGEST_MINUTES)
        if self.least >= self.most:
            raise CadenceError(
                "most",
                f"most, {write_interval(self.most)}, is not longer than least,"
                f" {write_interval(self.least)}; for a fixed interval write every instead",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Manual:
    """Only when somebody asks; no clock drives it."""

    schedule_type: ClassVar[ScheduleType] = ScheduleType.MANUAL
    cron_expression: ClassVar[None] = None


Cadence: TypeAlias = (
    Every | Hourly | Daily | Weekly | Monthly | Cron | Realtime | Event | After | Adaptive | Manual
)

"""What a schedule does where its cadence alone is no answer.

Laws:

* Policies that exist are valid, and equal policies are equal values.
* They are data: ``timing`` says what follows from them at which instant.
* ``parse_policies(policies_mapping(policies)) == policies``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from sync_pipelines.model.blackout import Blackout, blackout_mapping, parse_blackout
from sync_pipelines.model.wall import (
    CadenceError,
    read_choice,
    read_instant,
    read_interval,
    read_keys,
    read_whole,
    several,
    write_interval,
)

MOST_CAUGHT_UP = 1000
"""The most missed firings that may each run."""

LONGEST_SPREAD = 12 * 60
LONGEST_WINDOW = 366 * 24 * 60
MOST_BLACKOUTS = 50
LONGEST_REASON = 500

ON_TIME = timedelta(minutes=5)
"""A start is on time when it is at most so late; later, the firing was missed."""

_MINUTE = timedelta(minutes=1)


class Overlap(StrEnum):
    """What a firing does while the sync's execution before it has not ended."""

    SKIP = "skip"
    QUEUE = "queue"
    CANCEL = "cancel"


class MissedPolicy(StrEnum):
    """What becomes of firings that nobody dispatched in time."""

    ONCE = "once"
    ALL = "all"
    SKIP = "skip"


class Priority(StrEnum):
    """Which of a tenant's schedules goes first when not all can."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """How missed firings are caught up: once for all, each of the latest ``most``, or not.

    Those older than ``window`` are not; None looks back without end. It is no shorter
    than what counts as on time.
    """

    policy: MissedPolicy = MissedPolicy.ONCE
    most: int = 10
    window: timedelta | None = None

    def __post_init__(self) -> None:
        policy = read_choice("missed", self.policy, MissedPolicy)
        object.__setattr__(self, "policy", policy)
        read_whole("most", self.most, least=1, most=MOST_CAUGHT_UP)
        if self.window is not None:
            _check_minutes("window", self.window, least=ON_TIME // _MINUTE, most=LONGEST_WINDOW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Somebody stopped the schedule, and why; ``until`` None means until it is resumed."""

    reason: str
    until: datetime | None = None

    def __post_init__(self) -> None:
        if not self.reason.strip() or len(self.reason) > LONGEST_REASON:
            raise CadenceError(
                "reason",
                f"reason of the pause is empty or longer than {LONGEST_REASON} characters;"
                " say why, for whoever finds it paused",
            )
        if self.until is not None:
            object.__setattr__(self, "until", read_instant("until", self.until))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """A schedule's policies. Those of one that has none are the defaults.

    ``spread`` moves each start by a fixed number of minutes up to that, earlier or
    later, chosen by the schedule's id. ``starts_at`` is the first instant at which it
    may start anything, ``ends_at`` the first at which it may no more.
    """

    overlap: Overlap = Overlap.SKIP
    missed: Missed = field(default_factory=Missed)
    spread: timedelta = timedelta(0)
    blackouts: tuple[Blackout, ...] = ()
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    pause: Pause | None = None
    priority: Priority = Priority.NORMAL

    def __post_init__(self) -> None:
        object.__setattr__(self, "overlap", read_choice("overlap", self.overlap, Overlap))
        object.__setattr__(self, "priority", read_choice("priority", self.priority, Priority))
        _check_minutes("spread", self.spread, least=0, most=LONGEST_SPREAD)
        if len(self.blackouts) > MOST_BLACKOUTS:
            raise CadenceError(
                "blackouts",
                f"blackouts has {len(self.blackouts)} of them; write at most {MOST_BLACKOUTS}",
            )
        for name in ("starts_at", "ends_at"):
            written = getattr(self, name)
            if written is not None:
                object.__setattr__(self, name, read_instant(name, written))
        if self.starts_at and self.ends_at and self.ends_at <= self.starts_at:
            raise CadenceError(
                "ends_at",
                f"ends_at {self.ends_at.isoformat()} is not after starts_at"
                f" {self.starts_at.isoformat()}",
            )


def parse_policies(value: object) -> Policies:
    """The policies a tenant wrote, as YAML or JSON gives them; CadenceError names the key.

    ::

        {overlap: queue, missed: {policy: all, most: 5, window: 6h}, spread: 10m,
         blackouts: [{days: [sat, sun], from: "22:00", to: "06:00"},
                     {from: "2026-12-24", to: "2026-12-26"}],
         starts_at: "2026-02-01T00:00:00Z", pause: {reason: stocktaking}, priority: high}
    """
    written = read_keys("policies", value, tuple(_READERS))
    read = {name: _READERS[name](found) for name, found in written.items() if found is not None}
    return Policies(**read)  # type: ignore[arg-type]  # each reader gives its field's type


def policies_mapping(policies: Policies) -> Mapping[str, object]:
    """The policies as ``parse_policies`` reads them, without those that are defaults."""
    written: dict[str, object] = {}
    if policies.overlap is not Overlap.SKIP:
        written["overlap"] = str(policies.overlap)
    if policies.missed != Missed():
        written["missed"] = _missed_mapping(policies.missed)
    if policies.spread:
        written["spread"] = write_interval(policies.spread // _MINUTE)
    if policies.blackouts:
        written["blackouts"] = [blackout_mapping(blackout) for blackout in policies.blackouts]
    if policies.starts_at:
        written["starts_at"] = policies.starts_at.isoformat()
    if policies.ends_at:
        written["ends_at"] = policies.ends_at.isoformat()
    if policies.pause:
        until = policies.pause.until
        written["pause"] = {
            "reason": policies.pause.reason,
            **({"until": until.isoformat()} if until else {}),
        }
    if policies.priority is not Priority.NORMAL:
        written["priority"] = str(policies.priority)
    return written


def _missed_mapping(missed: Missed) -> Mapping[str, object]:
    window = {"window": write_interval(missed.window // _MINUTE)} if missed.window else {}
    return {"policy": str(missed.policy), "most": missed.most, **window}


def _read_missed(value: object) -> Missed:
    if isinstance(value, str):
        return Missed(policy=read_choice("missed", value, MissedPolicy))
    written = read_keys("missed", value, ("policy", "most", "window"))
    window = written.get("window")
    return Missed(
        policy=read_choice("policy", written.get("policy", MissedPolicy.ONCE), MissedPolicy),
        most=read_whole("most", written.get("most", 10), least=1, most=MOST_CAUGHT_UP),
        window=None if window is None else _interval("window", window, most=LONGEST_WINDOW),
    )


def _read_spread(value: object) -> timedelta:
    if value in ("exact", 0):
        return timedelta(0)
    return _interval("spread", value, most=LONGEST_SPREAD)


def _read_blackouts(value: object) -> tuple[Blackout, ...]:
    return tuple(parse_blackout(each) for each in several(value))


def _read_pause(value: object) -> Pause:
    written = read_keys("pause", value, ("reason", "until"))
    reason, until = written.get("reason", ""), written.get("until")
    return Pause(
        reason=reason if isinstance(reason, str) else "",
        until=None if until is None else read_instant("until", until),
    )


_READERS: Mapping[str, Callable[[object], object]] = {
    "overlap": lambda value: read_choice("overlap", value, Overlap),
    "missed": _read_missed,
    "spread": _read_spread,
    "blackouts": _read_blackouts,
    "starts_at": lambda value: read_instant("starts_at", value),
    "ends_at": lambda value: read_instant("ends_at", value),
    "pause": _read_pause,
    "priority": lambda value: read_choice("priority", value, Priority),
}


def _interval(name: str, value: object, *, most: int) -> timedelta:
    return timedelta(minutes=read_interval(name, value, most=most))


def _check_minutes(name: str, value: timedelta, *, least: int, most: int) -> None:
    if value % _MINUTE or not least * _MINUTE <= value <= most * _MINUTE:
        raise CadenceError(
            name, f"{name} {value} is wrong; take whole minutes, {least} to {write_interval(most)}"
        )

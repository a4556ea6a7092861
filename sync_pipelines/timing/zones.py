"""Time zones, and what becomes of a wall time on the day the clocks change.

Laws:

* Zone data comes from the ``tzdata`` package and nowhere else: two machines with the
  same lock file agree on every instant, whatever their operating systems know.
* Later wall times are never earlier instants, as long as one rule is followed.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from difflib import get_close_matches
from functools import cache, lru_cache
from importlib.resources import files
from typing import SupportsIndex
from zoneinfo import ZoneInfo

from sync_pipelines.model.cadence import CadenceError, ClockChange, Doubled, Missing

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
# No clock was ever changed by more than a day, as Samoa's was.
_MARGIN = timedelta(hours=26)


class Zone(ZoneInfo):
    """A ``ZoneInfo`` of the pinned data that can be copied and pickled by its name."""

    def __reduce_ex__(self, _protocol: SupportsIndex) -> tuple[object, ...]:
        return find_zone, (self.key,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """One clock change: at ``at`` the offset from UTC goes from ``before`` to ``after``."""

    at: datetime
    before: timedelta
    after: timedelta

    @property
    def is_forward(self) -> bool:
        """Whether wall times are left out; else they are shown twice."""
        return self.after > self.before

    @property
    def old_wall(self) -> datetime:
        """What the clock would have shown at ``at``; naive, as walls are."""
        return self.at.replace(tzinfo=None) + self.before

    @property
    def new_wall(self) -> datetime:
        """What the clock shows at ``at``; naive, as walls are."""
        return self.at.replace(tzinfo=None) + self.after


@cache
def zone_names() -> frozenset[str]:
    """Every IANA zone name, links included."""
    return frozenset(files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())


def find_zone(name: str) -> Zone:
    """The zone of an IANA name; CadenceError names those that are near."""
    found = _loaded(name) if name in zone_names() else None
    if found is None:
        raise CadenceError(
            "timezone", f"timezone {name!r} is not an IANA zone; try {' or '.join(_near(name))}"
        )
    return found


@cache
def _loaded(name: str) -> Zone:
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as data:
        return Zone.from_file(data, key=name)


def _near(name: str) -> list[str]:
    """Up to three names: of the same city or spelling, or a good example."""
    wanted = "_".join(name.casefold().replace("_", " ").split())
    known = {zone.casefold(): zone for zone in sorted(zone_names())}
    cities: dict[str, list[str]] = {}
    for folded, zone in known.items():
        cities.setdefault(folded.rpartition("/")[2], []).append(zone)
    city = wanted.rpartition("/")[2]
    near = [known[key] for key in get_close_matches(wanted, known, n=3, cutoff=0.8)]
    for match in get_close_matches(city, cities, n=2, cutoff=0.8):
        near += cities[match]
    return [repr(zone) for zone in dict.fromkeys(near)][:3] or ["'Europe/Berlin'", "'UTC'"]


def resolve(day: date, at: time, zone: ZoneInfo, rules: ClockChange) -> tuple[datetime, ...]:
    """The instants that a wall time is: one, or by the rules none or two. Aware UTC."""
    wall = datetime.combine(day, at, zone)
    second = rules.doubled is Doubled.SECOND
    found = instant_of(wall, second=second, missing=rules.missing)
    if found is None:
        return ()
    if rules.doubled is Doubled.BOTH:
        again = instant_of(wall, second=True, missing=rules.missing)
        if again is not None and again != found:
            return found, again
    return (found,)


def instant_of(wall: datetime, *, second: bool, missing: Missing) -> datetime | None:
    """The instant of a wall time, which carries its zone and ``fold=0``.

    ``second`` chooses among two. One that does not exist is the first instant after
    the gap, or None where ``missing`` says to skip it.
    """
    early, late = _offset(wall), _offset(wall.replace(fold=1))
    naive = wall.replace(tzinfo=UTC)
    if early >= late:
        return naive - (late if second else early)
    if missing is Missing.SKIP:
        return None
    shift = shift_between(naive - late, naive - early, wall.tzinfo)
    return shift.at if shift else naive - early


def shift_between(low: datetime, high: datetime, zone: tzinfo | None) -> Shift | None:
    """The clock change after ``low`` and not after ``high``, if there is one.

    The two must be so near that there cannot be two changes: within a day or so.
    """
    before, after = _offset(low.astimezone(zone)), _offset(high.astimezone(zone))
    if before == after:
        return None
    below, above = (low - _EPOCH) // _SECOND, -((_EPOCH - high) // _SECOND)
    while above - below > 1:
        middle = (below + above) // 2
        if _offset((_EPOCH + middle * _SECOND).astimezone(zone)) == before:
            below = middle
        else:
            above = middle
    return Shift(at=_EPOCH + above * _SECOND, before=before, after=after)


def is_plain(zone: ZoneInfo, low: datetime, high: datetime) -> bool:
    """Whether no clock changes from ``low`` to ``high``, at most a day later, or near them.

    Then the clock runs evenly there, and shows nothing twice.
    """
    offset = low.astimezone(zone).utcoffset()
    moments = (high, low - _MARGIN, high + _MARGIN)
    return all(moment.astimezone(zone).utcoffset() == offset for moment in moments)


def start_of(day: date, zone: ZoneInfo) -> datetime:
    """The first instant at which it is that day, or later where the day does not exist."""
    start = instant_of(datetime.combine(day, time(), zone), second=False, missing=Missing.AFTER_GAP)
    assert start is not None
    return start


@lru_cache(maxsize=16_384)
def shift_on(day: date, zone: ZoneInfo) -> Shift | None:
    """The clock change that a local day sees, its own first instant included."""
    tomorrow = start_of(day + timedelta(days=1), zone)
    return shift_between(start_of(day, zone) - _SECOND, tomorrow - _SECOND, zone)


def _offset(wall: datetime) -> timedelta:
    offset = wall.utcoffset()
    assert offset is not None
    return offset

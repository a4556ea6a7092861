"""How a provider is asked for what changed: a parameter, its spelling, its edge.

Law: the edge is closed. What has the very cursor of the state comes again, whatever the
provider's own comparison does, and the writer keeps one of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as made
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from connectors.http.call import Call
from connectors.sql.cursor import Mark


class Spelling(StrEnum):
    """How a bound is written; ``value`` is the cursor's own text, for numbers and words.

    ``iso_utc`` is UTC without saying so, for who would convert a zone to another one.
    """

    ISO = "iso"
    ISO_UTC = "iso_utc"
    EPOCH = "epoch"
    EPOCH_MS = "epoch_ms"
    DATE = "date"
    VALUE = "value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Incremental:
    """What changed since.

    ``field`` is the record's column that grows with every change. ``param`` takes the
    lower bound; None: the provider cannot filter, and what is older is left out here.
    ``until_param`` takes the upper one, the time at which the read began.
    ``pattern`` is put around a bound (``gte.{}``). ``exclusive`` says that the provider
    compares with ``>``: the bound is sent ``resolution`` earlier, the step in which its
    clock counts. ``ordered`` says that with ``params`` the list rises by this field, so
    that a long read is checkpointed on the way. ``lag`` is always gone back, beside what
    the tenant chose.
    """

    field: str
    param: str | None = None
    until_param: str | None = None
    spelling: Spelling = Spelling.ISO
    pattern: str = "{}"
    until_pattern: str = "{}"
    exclusive: bool = False
    resolution: timedelta = timedelta(seconds=1)
    ordered: bool = False
    lag: timedelta = timedelta(0)
    params: Mapping[str, object] = made(default_factory=dict)

    def asked(self, call: Call, since: Mark | None, until: Mark | None) -> Call:
        """The call for records from ``since`` on, and not beyond ``until``."""
        bounds: dict[str, object] = dict(self.params)
        if self.param is not None and since is not None:
            lowest = since.before(self.resolution) if self.exclusive else since
            bounds[self.param] = self.pattern.format(self._spelled(lowest, down=True))
        if self.until_param is not None and until is not None:
            # A bound spelled in whole seconds must not cut off the last one.
            text = self._spelled(until, down=False)
            bounds[self.until_param] = self.until_pattern.format(text)
        return call.put(bounds) if bounds else call

    def _spelled(self, mark: Mark, *, down: bool) -> str:
        value = mark.value
        if self.spelling is Spelling.VALUE or not isinstance(value, date):
            return mark.text
        if self.spelling is Spelling.DATE:
            day = value if down else value + timedelta(days=1)
            return (day.date() if isinstance(day, datetime) else day).isoformat()
        moment = value if isinstance(value, datetime) else datetime(*value.timetuple()[:3])  # noqa: DTZ001
        if self.spelling is Spelling.ISO:
            return _iso(moment)
        if self.spelling is Spelling.ISO_UTC:
            return _iso(moment).removesuffix("Z")
        since_epoch = (moment.replace(tzinfo=moment.tzinfo or UTC) - _EPOCH) / timedelta(
            seconds=1 if self.spelling is Spelling.EPOCH else 0.001
        )
        return str(int(since_epoch // 1) if down else -int(-since_epoch // 1))


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _iso(moment: datetime) -> str:
    """Without an offset's ``+``, which some servers read as a blank."""
    if moment.tzinfo is None:
        return moment.isoformat()
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")

"""Reads from a file how a sync recovers: its retries, and its breaker."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TypeVar

from sync_pipelines.apply.fields import Fields
from sync_pipelines.model.breaker import BreakerPolicy
from sync_pipelines.model.retry import RetryPolicy

RETRY = ("max_attempts", "initial", "factor", "ceiling", "jitter", "stalled_after")
BREAKER = ("failures", "probe_after", "factor", "ceiling", "pause")

Policy = TypeVar("Policy", RetryPolicy, BreakerPolicy)


def read_retry(fields: Fields | None) -> RetryPolicy:
    """How often a failed attempt is repeated; the default where nothing is written."""
    if fields is None:
        return RetryPolicy()
    chosen = {
        "max_attempts": fields.number("max_attempts", least=1, most=1000, whole=True),
        "initial": fields.duration("initial"),
        # Beyond this, the powers of long retries would no longer be finite.
        "factor": fields.number("factor", least=1, most=1000),
        "ceiling": fields.duration("ceiling"),
        "jitter": fields.number("jitter", least=0, most=1),
        "stalled_after": fields.duration("stalled_after"),
    }
    return _made(RetryPolicy, chosen, fields)


def read_breaker(fields: Fields | None) -> BreakerPolicy:
    """When a sync that keeps failing is left alone; the default where nothing is written."""
    if fields is None:
        return BreakerPolicy()
    probe_after = fields.duration("probe_after")
    if probe_after == timedelta(0):
        fields.wrong("probe_after", "probe_after is no time at all; write 1s or more")
        probe_after = None
    chosen = {
        "failures": fields.number("failures", least=1, most=1000, whole=True),
        "probe_after": probe_after,
        "factor": fields.number("factor", least=1, most=1000),
        "ceiling": fields.duration("ceiling"),
        "pause": fields.flag("pause"),
    }
    return _made(BreakerPolicy, chosen, fields)


def _made(kind: type[Policy], chosen: Mapping[str, object], fields: Fields) -> Policy:
    """What was chosen, with defaults for the rest; reported where it does not go together."""
    try:
        return kind(**{key: value for key, value in chosen.items() if value is not None})  # type: ignore[arg-type]
    except ValueError as error:
        fields.wrong(str(error).partition(" ")[0], str(error))
        return kind()

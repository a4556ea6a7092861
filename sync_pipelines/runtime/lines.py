"""The lines of a process's log as JSON, whoever has written them.

Law: each line is one object. What is one already stays as it is; of a message with many
lines that come at once, each has the time, the level and the logger of the first.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from sync_pipelines.clock import Clock
from sync_pipelines.logs import LogFormat
from sync_pipelines.runtime.console import DAGSTER_LINE, ESCAPES

AT_ONCE = timedelta(seconds=1)

Written: TypeAlias = Callable[[str], str]
"""How a line of a process goes to its log."""


def written_as(form: LogFormat, process: str, clock: Clock) -> Written:
    """What makes lines of a process, in their order, such as this format asks for."""
    return _AsJson(process, clock) if form == "json" else _as_they_are


def _as_they_are(line: str) -> str:
    return line


class _AsJson:
    def __init__(self, process: str, clock: Clock) -> None:
        self._process = process
        self._clock = clock
        self._begun: dict[str, str] = {}
        self._begun_at = clock()

    def __call__(self, line: str) -> str:
        now, plain = self._clock(), ESCAPES.sub("", line)
        if _is_object(line):
            self._begun = {}
            return line
        found = DAGSTER_LINE.fullmatch(plain)
        if found is not None:
            self._begun_at, self._begun = now, _beginning(found)
        elif now - self._begun_at >= AT_ONCE:
            self._begun = {}
        said = {"event": plain if found is None else found["message"], "process": self._process}
        return json.dumps({**said, "timestamp": now.isoformat(), **self._begun}, sort_keys=True)


def _is_object(line: str) -> bool:
    if not line.startswith("{"):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _beginning(line: re.Match[str]) -> dict[str, str]:
    at = datetime.strptime(line["at"], "%Y-%m-%d %H:%M:%S %z").astimezone(UTC)
    return {
        "timestamp": at.isoformat(),
        "level": line["level"].lower(),
        "logger": line["logger"],
    }

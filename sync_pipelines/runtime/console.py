"""What of Dagster's output a person at the console sees; the logs keep all of it."""

import re

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
DAGSTER_LINE = re.compile(
    r"\d{4}-\d\d-\d\d (?P<time>\d\d:\d\d:\d\d) [+-]\d{4} - (?P<logger>[\w.-]+) - "
    r"(?P<level>[A-Z]+) - (?P<message>.*)"
)
RUN_EVENT = re.compile(
    r"(?P<job>.+?) - (?P<run>[0-9a-f]{8})-[0-9a-f-]{27} - \d+ - "
    r"(?P<kind>RUN_[A-Z]+) - (?P<message>.*)"
)
PROBLEMS = frozenset({"WARNING", "ERROR", "CRITICAL"})
QUIET_LOGGERS = ("dagster.daemon",)
"""They say every minute what they look at; only what came of it is of interest."""
RESULTS = ("Completed scheduled launch of run", "Launched run")


class Console:
    """A filter for the lines of one process, in their order."""

    def __init__(self) -> None:
        self._showing = True

    def __call__(self, line: str) -> str | None:
        """The line as it is shown, or None."""
        plain = ESCAPES.sub("", line)
        found = DAGSTER_LINE.fullmatch(plain)
        if found is None:
            continues = not plain or plain[0].isspace()
            return plain if self._showing or not continues else None
        message = _said(found["logger"], found["level"], found["message"])
        self._showing = message is not None
        return None if message is None else f"{found['time']} {message}"


def _said(logger: str, level: str, message: str) -> str | None:
    event = RUN_EVENT.fullmatch(message)
    if event is not None and level not in PROBLEMS:
        return f"run {event['run']}: {event['message']}"
    if level in PROBLEMS:
        return f"{level}: {message}"
    if level == "DEBUG" or logger.startswith(QUIET_LOGGERS):
        return message if message.startswith(RESULTS) else None
    return message

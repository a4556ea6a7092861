"""What of the processes' output a person at the console sees, in one form; the logs keep all."""

import re

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
DAGSTER_LINE = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\d (?P<time>\d\d:\d\d:\d\d) [+-]\d{4}) - (?P<logger>[\w.-]+) - "
    r"(?P<level>[A-Z]+) - (?P<message>.*)"
)
OUR_LINE = re.compile(
    r"\d{4}-\d\d-\d\dT(?P<time>\d\d:\d\d:\d\d)\S* \[(?P<level>\w+) *\] (?P<event>\S+) *(?P<data>.*)"
)
RUN_MESSAGE = re.compile(
    r".+? - (?P<run>[0-9a-f]{8})-[0-9a-f-]{27} - "
    r"(?:\d+ - )?(?P<source>\w+) - (?P<message>.*)"
)
"""Of a run: one of Dagster's own events, after a pid, or what a step of it logged."""
BEGINNING = re.compile(r"\d{4}-\d\d-\d\d|\{")
"""How a line begins that another logger than Dagster's wrote: with an instant, or as JSON."""
PROBLEMS = frozenset({"WARNING", "ERROR", "CRITICAL"})
QUIET_LOGGERS = ("dagster.daemon", "dagster.code_server")
"""They say every minute what they look at; only what came of it is of interest."""
FIRST_START = "No cursor for event type"
"""Warned of whenever there is no history yet."""
RUN_EVENTS = frozenset({"RUN_START", "RUN_SUCCESS", "RUN_CANCELED"})
UNSAID = re.compile(r"\b(execution\.settled|http\.request)\b")
"""Of every attempt and request there is such a line. Of attempts, Dagster's tell the same."""
RESULTS = ("Completed scheduled launch of run", "Launched run")


class Console:
    """A filter for the lines of one process, in their order."""

    def __init__(self) -> None:
        self._inside_a_message = False

    def __call__(self, line: str) -> str | None:
        """The line as it is shown, or None. Of a message with many lines, the first is."""
        plain = ESCAPES.sub("", line)
        found = DAGSTER_LINE.fullmatch(plain)
        if found is None and UNSAID.search(plain):
            return None
        if found is None:
            self._inside_a_message = self._inside_a_message and not BEGINNING.match(plain)
            return _ours(plain) if plain and not self._inside_a_message else None
        self._inside_a_message = True
        message = _said(found["logger"], found["level"], found["message"])
        return None if message is None else f"{found['time']} {message}"


def _ours(line: str) -> str:
    """A line of our own log as Dagster's are shown; any other as it is."""
    found = OUR_LINE.fullmatch(line)
    if found is None:
        return line
    level = found["level"].upper()
    words = f"{found['event']} {found['data']}".rstrip()
    return f"{found['time']} {f'{level}: ' if level in PROBLEMS else ''}{words}"


def _said(logger: str, level: str, message: str) -> str | None:
    if message.startswith(FIRST_START):
        return None
    of_run = RUN_MESSAGE.fullmatch(message)
    words = message if of_run is None else f"run {of_run['run']}: {of_run['message']}"
    if level in PROBLEMS:
        return f"{level}: {words}"
    if of_run is not None:
        return words if level != "DEBUG" or of_run["source"] in RUN_EVENTS else None
    if level == "DEBUG" or logger.startswith(QUIET_LOGGERS):
        return message if message.startswith(RESULTS) else None
    return message

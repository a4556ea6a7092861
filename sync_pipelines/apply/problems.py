"""What is wrong with a file, all of it together, each with its line."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from connectors.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """One mistake; lines count from 1. The message says what would be right."""

    line: int
    message: str


class ManifestError(ConfigError):
    """A file that is not applied: its text is one ``FILE:LINE: message`` a problem."""

    def __init__(self, file: str, problems: Iterable[Problem]) -> None:
        self.file = file
        self.problems = tuple(sorted(set(problems)))
        lines = (f"{file}:{problem.line}: {problem.message}" for problem in self.problems)
        super().__init__("\n".join(lines))


class ClashError(ManifestError):
    """Nothing is wrong with the file itself, but it would bring about a certain conflict."""


@dataclass(slots=True)
class Problems:
    """Collects mistakes while a file is read, so that reading may go on."""

    found: list[Problem] = field(default_factory=list)

    def add(self, line: int, message: str, *, hide: Mapping[str, str] | None = None) -> None:
        """Note a mistake; ``hide`` as for `redacted`."""
        self.found.append(Problem(line=line, message=redacted(message, hide or {})))


def redacted(message: str, hide: Mapping[str, str]) -> str:
    """The message with the values in ``hide``, however spelled, as they stand in the file."""
    for value in sorted(filter(None, hide), key=len, reverse=True):
        # In a replacement, a backslash is written twice.
        written = hide[value].replace("\\", "\\\\")
        for shown in (value, repr(value)[1:-1]):
            message = re.sub(re.escape(shown), written, message, flags=re.IGNORECASE)
    return message


def nearest(name: str, known: Sequence[str], *, what: str) -> str:
    """A remedy for a name that is not known: the nearest one, or all of them."""
    near = get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"{what}: {', '.join(known)}" if known else f"{what}: none"

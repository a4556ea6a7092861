"""Names in SQL: how they are quoted, split, and spelled for people.

Law: an identifier reaches a server only through `quoted`, so its spelling is kept
and it can never be read as anything else.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from connectors.errors import ConfigError

_PART = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class TableName:
    """A table or view within a database; no schema means the dialect's default one."""

    schema: str | None = None
    table: str

    @property
    def sql(self) -> str:
        """Quoted for any of our dialects."""
        parts = (self.table,) if self.schema is None else (self.schema, self.table)
        return ".".join(quoted(part) for part in parts)

    def spelled(self, default_schema: str) -> str:
        """As a stream's name: the default schema is left out, odd parts are quoted."""
        shown = self.schema not in (None, default_schema)
        parts = (self.schema, self.table) if shown else (self.table,)
        return ".".join(_spelled(part) for part in parts if part is not None)


def quoted(identifier: str) -> str:
    """An identifier in double quotes; a zero byte, which no server takes, is refused."""
    if "\0" in identifier or not identifier:
        raise ConfigError(f"{identifier!r} cannot be a name in a database")
    return '"' + identifier.replace('"', '""') + '"'


def listed(identifiers: Iterable[str]) -> str:
    """Identifiers quoted and separated by commas."""
    return ", ".join(quoted(identifier) for identifier in identifiers)


def literal(text: str) -> str:
    """A text as an SQL string constant."""
    if "\0" in text:
        raise ConfigError("a value compared in SQL cannot contain a zero byte")
    return "'" + text.replace("'", "''") + "'"


def shortened(name: str) -> str:
    """Names end at 63 bytes in PostgreSQL; a suffix must fit."""
    return name.encode()[:40].decode(errors="ignore")


def _spelled(part: str) -> str:
    return quoted(part) if "." in part or '"' in part else part


def split(name: str) -> TableName:
    """Read ``table``, ``schema.table`` or ``"odd.schema"."table"``."""
    parts: list[str] = []
    at = -1
    while at < len(name) and (found := _PART.match(name, at + 1)):
        parts.append(found[1].replace('""', '"') if found[1] else found[2])
        at = found.end()
        if name[at : at + 1] != ".":
            break
    if at != len(name) or not 1 <= len(parts) <= 2:
        raise ConfigError(
            f"{name!r} is not a table's name; write table, schema.table, "
            'or "schema"."table" where a part contains a dot'
        )
    return TableName(schema=parts[0] if len(parts) == 2 else None, table=parts[-1])


def nearest(name: str, known: Sequence[str]) -> str:
    """A remedy for a name that is not there: the nearest ones, or the first few."""
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(repr(one) for one in near)}?"
    if not known:
        return "there are none"
    more = "" if len(known) <= 10 else f" and {len(known) - 10} more"
    return f"there are: {', '.join(known[:10])}{more}"

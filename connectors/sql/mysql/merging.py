"""What of the merge MySQL spells in its own way. Pure.

``t`` is the target, ``s`` the staged records.
"""

from collections.abc import Sequence
from dataclasses import replace

from connectors.sql import merge
from connectors.sql.mysql import types
from connectors.sql.names import TableName, listed, quoted
from connectors.sql.store import DELETED_AT, Match, Plan, Planned, Spelling, Staging, chosen

ARRIVAL = "_sync_arrival"
"""The column that numbers staged rows as they came: MySQL has no row number of its own."""

_PREFIX = 180


def differs(columns: Sequence[str], old: str, new: str) -> str:
    """``<=>`` takes NULL for equal to NULL."""
    return " OR ".join(f"NOT ({old}.{quoted(c)} <=> {new}.{quoted(c)})" for c in columns)


def identity(column: Planned) -> str:
    """A text's bytes: its collation might take two for one."""
    name = quoted(column.name)
    return f"CAST({name} AS BINARY)" if types.is_text(column.type) else name


def create_temporary(name: TableName, plan: Plan, *, arrivals: bool) -> str:
    """A table of this connection's own; keys that were seen are indexed, to be looked up."""
    columns = [f"{quoted(column.name)} {column.type}" for column in plan]
    if arrivals:
        columns.append(f"{quoted(ARRIVAL)} bigint unsigned AUTO_INCREMENT PRIMARY KEY")
    else:
        columns.append(f"INDEX ({_indexed(plan)})")
    return f"CREATE TEMPORARY TABLE {name.sql} ({', '.join(columns)}) ENGINE = InnoDB"


def index_staged(staging: Staging, key: Sequence[str]) -> str:
    """An index by which a row's key is found among the staged ones."""
    return f"ALTER TABLE {staging.name.sql} ADD INDEX ({_indexed(chosen(staging.plan, key))})"


def _indexed(plan: Plan) -> str:
    endless = ("text", "blob", "char", "binary")
    parts = []
    for column in plan:
        word = types.base(column.type)
        part = f"({_PREFIX // len(plan)})" if word.endswith(endless) else ""
        parts.append(f"{quoted(column.name)}{part}")
    return ", ".join(parts)


def confusions(
    name: TableName, staging: Staging, key: Sequence[str], exact: str
) -> tuple[str, ...]:
    """Queries that find whether the table takes two of the stream's keys for one."""
    loose = [
        column.name
        for column in chosen(staging.plan, key)
        if types.is_text(column.type) and f"COLLATE {exact}" not in column.type
    ]
    if not loose:
        return ()
    other = " OR ".join(
        f"CAST(t.{quoted(c)} AS BINARY) <> CAST(s.{quoted(c)} AS BINARY)" for c in loose
    )
    return (
        f"SELECT 1 FROM {staging.name.sql} GROUP BY {listed(key)} HAVING count(*) > 1 LIMIT 1",
        f"SELECT 1 FROM {staging.name.sql} AS s JOIN {name.sql} AS t "
        f"ON {merge.same_key(key, 't', 's')} WHERE {other} LIMIT 1",
    )


def update_changed(
    spelling: Spelling, name: TableName, staging: Staging, match: Match
) -> str | None:
    """Updates target rows that a staged row has changed; None when there is nothing to set."""
    columns = [column for column in staging.columns if column not in match.key]
    wanted = [f"t.{quoted(column)} = s.{quoted(column)}" for column in columns]
    if match.clears:
        wanted.append(f"t.{quoted(DELETED_AT)} = NULL")
    if not wanted:
        return None
    texts = {column.name for column in staging.plan if types.is_text(column.type)}
    overwritten = merge.overwrites(_bytewise(spelling, texts), staging, match, "t", "s")
    return (
        f"UPDATE {name.sql} AS t JOIN {staging.name.sql} AS s "
        f"ON {merge.same_key(match.key, 't', 's')} SET {', '.join(wanted)} WHERE {overwritten}"
    )


def _bytewise(spelling: Spelling, texts: set[str]) -> Spelling:
    def differs_in_bytes(columns: Sequence[str], old: str, new: str) -> str:
        plain = [column for column in columns if column not in texts]
        parts = [differs(plain, old, new)] if plain else []
        parts += [
            f"NOT (CAST({old}.{quoted(c)} AS BINARY) <=> CAST({new}.{quoted(c)} AS BINARY))"
            for c in columns
            if c in texts
        ]
        return " OR ".join(parts)

    return replace(spelling, differs=differs_in_bytes)

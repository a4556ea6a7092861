"""The SQL by which staged records become the target's, alike in every dialect.

Laws: a statement here is safe to run again after a crash, because it runs in the
transaction that also moves the state; and it never changes a row that is the same,
nor lets an older version overwrite a newer one.

``t`` is the target, ``s`` the staged records.
"""

from collections.abc import Sequence

from connectors.errors import ConfigError
from connectors.sql.names import TableName, listed, quoted
from connectors.sql.store import DELETED_AT, Match, Plan, Spelling, Staging, chosen

# Names of our own beside a tenant's columns: no column is likely to be called like these.
_SIDE, _ARRIVED, _PRESENT, _NTH = (
    quoted(f"_sync_{name}") for name in ("side", "arrived", "present", "nth")
)


def misfits(spelling: Spelling, staging: Staging, key: Sequence[str]) -> str:
    """Finds whether a key is missing a part or occurs twice."""
    types = [column.type for column in chosen(staging.plan, key)]
    if len(types) == 1 and types[0] in spelling.counted:
        different = f"count(DISTINCT {listed(key)})"  # NULL is not among them
        return f"SELECT 1 FROM {staging.name.sql} HAVING count(*) <> {different}"
    nulls = "".join(f" OR {quoted(name)} IS NULL" for name in key)
    return (
        f"SELECT 1 FROM {staging.name.sql} GROUP BY {listed(key)} "
        f"HAVING count(*) > 1{nulls} LIMIT 1"
    )


def repeats(spelling: Spelling, staging: Staging, same: Sequence[str]) -> str:
    """Finds whether two staged rows agree in these columns."""
    identity = _identity(spelling, chosen(staging.plan, same))
    return f"SELECT 1 FROM {staging.name.sql} GROUP BY {identity} HAVING count(*) > 1 LIMIT 1"


def drop_keyless(staging: Staging, key: Sequence[str]) -> str:
    """Removes staged rows whose key is missing a part."""
    nulls = " OR ".join(f"{quoted(name)} IS NULL" for name in key)
    return f"DELETE FROM {staging.name.sql} WHERE {nulls}"


def drop_older(
    spelling: Spelling, staging: Staging, same: Sequence[str], *, cursor: str | None
) -> str:
    """Keeps one staged row of each that agree in ``same``: the newest, then the last to arrive."""
    newest = f"{quoted(cursor)} DESC{spelling.nulls_last}, " if cursor else ""
    identity = _identity(spelling, chosen(staging.plan, same))
    arrival = _arrival(spelling, staging)
    ranked = (
        f"SELECT {arrival} AS a, row_number() OVER (PARTITION BY {identity} "
        f"ORDER BY {newest}{arrival} DESC) AS n FROM {staging.name.sql}"
    )
    return (
        f"DELETE FROM {staging.name.sql} WHERE {arrival} IN "
        f"(SELECT a FROM ({ranked}) AS ranked WHERE n > 1)"
    )


def insert_all(name: TableName, staging: Staging) -> str:
    """Adds every staged row."""
    columns = listed(staging.columns)
    return f"INSERT INTO {name.sql} ({columns}) SELECT {columns} FROM {staging.name.sql}"


def insert_distinct(spelling: Spelling, name: TableName, staging: Staging, *, match: Match) -> str:
    """Adds the staged rows that are not in the target yet.

    With key and cursor, rows that agree in both are one. Without a cursor whole rows are
    compared, and without a key as a multiset: a row that the source has twice is there
    twice, however often its neighbourhood is read again.
    """
    same = (*match.key, match.cursor) if match.key and match.cursor else staging.columns
    identity = _identity(spelling, chosen(staging.plan, [one for one in same if one]))
    columns, arrival = listed(staging.columns), _arrival(spelling, staging)
    both = (
        f"SELECT 0 AS {_SIDE}, {columns}, 0 AS {_ARRIVED} FROM {name.sql} AS t"
        f"{_range(staging, match.cursor)} UNION ALL "
        f"SELECT 1 AS {_SIDE}, {columns}, "
        f"row_number() OVER (ORDER BY {arrival}) AS {_ARRIVED} FROM {staging.name.sql}"
    )
    ranked = (
        f"SELECT {_SIDE}, {columns}, "
        f"sum(1 - {_SIDE}) OVER (PARTITION BY {identity}) AS {_PRESENT}, row_number() OVER "
        f"(PARTITION BY {identity} ORDER BY {_SIDE} DESC, {_ARRIVED} DESC) AS {_NTH} "
        f"FROM ({both}) AS both_sides"
    )
    # Staged rows are numbered first: 1..k. With a key the first is enough, and only if
    # none is present; without, as many as the target has are taken away.
    wanted = f"{_NTH} = 1 AND {_PRESENT} = 0" if match.key else f"{_NTH} > {_PRESENT}"
    return (
        f"INSERT INTO {name.sql} ({columns}) SELECT {columns} FROM ({ranked}) AS ranked "
        f"WHERE {_SIDE} = 1 AND {wanted}"
    )


def _arrival(spelling: Spelling, staging: Staging) -> str:
    """What orders the staged rows as they came; a column of that name would hide it."""
    taken = {name.lower() for name in staging.columns}
    free = next((name for name in spelling.arrivals if name not in taken), None)
    if free is None:
        raise ConfigError(
            f"a column called {spelling.arrivals[0]!r} cannot be written to this database, which "
            "uses the name itself; leave the column out, or rename it in a view at the source"
        )
    return free


def _range(staging: Staging, cursor: str | None) -> str:
    if cursor is None or cursor not in staging.columns:
        return ""
    column = quoted(cursor)
    least = f"(SELECT min({column}) FROM {staging.name.sql})"
    return f" WHERE t.{column} >= {least} OR t.{column} IS NULL"


def update_changed(
    spelling: Spelling, name: TableName, staging: Staging, *, match: Match
) -> str | None:
    """Updates target rows that a staged row has changed; None when there is nothing to set."""
    wanted = assignments(staging, match, source="s")
    if not wanted:
        return None
    overwritten = overwrites(spelling, staging, match, "t", "s")
    return (
        f"UPDATE {name.sql} AS t SET {wanted} FROM {staging.name.sql} AS s "
        f"WHERE {same_key(match.key, 't', 's')} AND ({overwritten})"
    )


def insert_missing(name: TableName, staging: Staging, *, match: Match) -> str:
    """Adds staged rows whose key the target does not have."""
    columns = ", ".join(f"s.{quoted(column)}" for column in staging.columns)
    return (
        f"INSERT INTO {name.sql} ({listed(staging.columns)}) SELECT {columns} "
        f"FROM {staging.name.sql} AS s WHERE NOT EXISTS "
        f"(SELECT 1 FROM {name.sql} AS t WHERE {same_key(match.key, 't', 's')})"
    )


def assignments(staging: Staging, match: Match, *, source: str) -> str:
    """What an update sets: every staged column but the key, and no more soft-delete mark."""
    columns = [column for column in staging.columns if column not in match.key]
    wanted = [f"{quoted(column)} = {source}.{quoted(column)}" for column in columns]
    if match.clears:
        wanted.append(f"{quoted(DELETED_AT)} = NULL")
    return ", ".join(wanted)


def overwrites(spelling: Spelling, staging: Staging, match: Match, old: str, new: str) -> str:
    """When a staged row overwrites the present one: it differs, and is not an older version.

    A record that was marked deleted and comes back always does.
    """
    columns = [column for column in staging.columns if column not in match.key]
    condition = spelling.differs(columns, old, new) if columns else "FALSE"
    if match.cursor in staging.columns and match.cursor is not None:
        cursor = quoted(match.cursor)
        # What is newer differs, and most are: so few whole rows need to be compared.
        newer, older = (f"coalesce({new}.{cursor} {one} {old}.{cursor}, FALSE)" for one in "><")
        condition = f"{newer} OR (NOT {older} AND ({condition}))"
    if match.clears:
        condition = f"{old}.{quoted(DELETED_AT)} IS NOT NULL OR ({condition})"
    return condition


def same_key(key: Sequence[str], one: str, two: str) -> str:
    """Two rows have one key."""
    return " AND ".join(f"{one}.{quoted(name)} = {two}.{quoted(name)}" for name in key)


def remember_keys(seen: TableName, rows: TableName, key: Sequence[str]) -> str:
    """Adds the keys of these rows to those that the whole read has seen."""
    return f"INSERT INTO {seen.sql} ({listed(key)}) SELECT {listed(key)} FROM {rows.sql}"


def delete_unseen(
    spelling: Spelling, name: TableName, seen: TableName | None, key: Sequence[str]
) -> str:
    """Deletes target rows whose key was not seen; all of them when nothing was."""
    return f"{spelling.delete_aliased} {name.sql} AS t WHERE {_unseen(seen, key)}"


def mark_unseen(name: TableName, seen: TableName | None, key: Sequence[str], *, at: str) -> str:
    """Marks target rows whose key was not seen, and that have no mark yet; ``at`` is SQL."""
    mark = quoted(DELETED_AT)
    return (
        f"UPDATE {name.sql} AS t SET {mark} = {at} WHERE t.{mark} IS NULL AND {_unseen(seen, key)}"
    )


def delete_gone(spelling: Spelling, name: TableName, gone: TableName, key: Sequence[str]) -> str:
    """Deletes rows, of the target or staged, whose key the source says is gone."""
    return f"{spelling.delete_aliased} {name.sql} AS t WHERE {_among(gone, key)}"


def mark_gone(name: TableName, gone: TableName, key: Sequence[str], *, at: str) -> str:
    """Marks target rows whose key the source says is gone, if unmarked; ``at`` is SQL."""
    mark = quoted(DELETED_AT)
    return (
        f"UPDATE {name.sql} AS t SET {mark} = {at} WHERE t.{mark} IS NULL AND {_among(gone, key)}"
    )


def _unseen(seen: TableName | None, key: Sequence[str]) -> str:
    if seen is None:
        return "TRUE"
    return f"NOT {_among(seen, key)}"


def _among(keys: TableName, key: Sequence[str]) -> str:
    return f"EXISTS (SELECT 1 FROM {keys.sql} AS s WHERE {same_key(key, 's', 't')})"


def any_row(name: TableName, *, marked: bool) -> str:
    """Finds whether the target has rows, not counting those marked deleted."""
    return f"SELECT 1 FROM {name.sql}{_unmarked(marked)} LIMIT 1"


def count_rows(name: TableName, *, marked: bool) -> str:
    """Counts the target's rows, without those marked deleted."""
    return f"SELECT count(*) FROM {name.sql}{_unmarked(marked)}"


def _unmarked(marked: bool) -> str:
    return f" WHERE {quoted(DELETED_AT)} IS NULL" if marked else ""


def create_table(name: TableName, plan: Plan, key: Sequence[str], *, prefix: str = "") -> str:
    """A CREATE TABLE with these columns, and with a primary key if one is given."""
    columns = [f"{quoted(column.name)} {column.type}" for column in plan]
    if key:
        columns.append(f"PRIMARY KEY ({listed(key)})")
    return f"CREATE {prefix}TABLE {name.sql} ({', '.join(columns)})"


def _identity(spelling: Spelling, plan: Plan) -> str:
    return ", ".join(spelling.identity(column) for column in plan)

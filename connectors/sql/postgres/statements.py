"""PostgreSQL's own SQL for merging, for the watermark, and for what hangs on a table.

Law: an upsert neither rewrites nor locks a row that is the same, where most will be.
"""

from connectors.contract import Greatest, State
from connectors.sql import merge
from connectors.sql.names import TableName, listed, literal, quoted
from connectors.sql.store import Match, Planned, Spelling, Staging


def upsert(spelling: Spelling, name: TableName, staging: Staging, match: Match) -> str:
    """Merges, and tells how many rows were inserted and updated: an inserted one has no xmax."""
    sets = merge.assignments(staging, match, source="excluded")
    overwrites = merge.overwrites(spelling, staging, match, "t", "excluded")
    update = f"DO UPDATE SET {sets} WHERE {overwrites}" if sets else "DO NOTHING"
    unchanged = ""
    if match.mostly_same and sets:
        # ON CONFLICT locks, that is writes, every row that it meets.
        again = merge.overwrites(spelling, staging, match, "o", "s")
        unchanged = (
            f" WHERE NOT EXISTS (SELECT FROM {name.sql} AS o WHERE "
            f"{merge.same_key(match.key, 'o', 's')} AND NOT ({again}))"
        )
    columns = ", ".join(f"s.{quoted(column)}" for column in staging.columns)
    return (
        f"WITH merged AS (INSERT INTO {name.sql} AS t ({listed(staging.columns)}) "
        f"SELECT {columns} FROM {staging.name.sql} AS s{unchanged} "
        f"ON CONFLICT ({listed(match.key)}) {update} RETURNING t.xmax = 0 AS created) "
        "SELECT count(*) FILTER (WHERE created), count(*) FILTER (WHERE NOT created) "
        "FROM merged"
    )


def greatest(staging: Staging, column: Planned, wanted: Greatest, known: State | None) -> str:
    """The greatest staged value, within the ceiling, never behind ``known``; NULL for no rows.

    A value without a place in the order, such as infinity, does not count.
    """
    name = quoted(column.name)
    value = f"max({name}) FILTER (WHERE {_placed(name, column.type)})"
    if wanted.ceiling is not None:
        value = (
            f"CASE WHEN {value} IS NOT NULL "
            f"THEN least({value}, {literal(wanted.ceiling)}::{column.type}) END"
        )
    mark = known.watermark if known is not None and known.version == wanted.version else None
    if mark is not None:
        value = f"greatest({value}, {literal(mark)}::{column.type})"
    query = f"SELECT {value} AS mark FROM {staging.name.sql}"
    return f"SELECT {_spelled_mark(column.type)} FROM ({query}) AS found"


def _spelled_mark(native: str) -> str:
    """``mark`` as the text that a source reads back exactly."""
    exact = "'YYYY-MM-DD\"T\"HH24:MI:SS.US'"
    if native.startswith("timestamp") and native.endswith("with time zone"):
        return f"to_char(mark AT TIME ZONE 'UTC', {exact}) || '+00:00'"
    return f"to_char(mark, {exact})" if native.startswith("timestamp") else "mark::text"


def _placed(column: str, native: str) -> str:
    """A condition for values that have a place in a cursor's order; infinity has none."""
    if native.startswith(("timestamp", "date")):
        return f"isfinite({column})"
    if native.startswith("numeric"):
        return f"{column} NOT IN ('NaN', 'Infinity', '-Infinity')"
    return "TRUE"


def attached(name: TableName) -> str:
    """Finds whether more than its own primary key hangs on a table, or it is not ours."""
    return _ATTACHED.format(table=literal(name.sql))


_ATTACHED = """
SELECT 1 FROM pg_class c WHERE c.oid = {table}::regclass AND (
  c.relkind <> 'r' OR c.relacl IS NOT NULL OR c.reloptions IS NOT NULL OR c.relrowsecurity
  OR c.relhastriggers OR c.relhasrules OR c.relhassubclass OR c.relreplident <> 'd'
  OR c.relpersistence <> 'p' OR c.reltablespace <> 0
  OR pg_get_userbyid(c.relowner) <> current_user
  OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND (
       a.attacl IS NOT NULL OR a.atthasdef OR a.attidentity <> '' OR a.attstattarget >= 0))
  OR EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND NOT i.indisprimary)
  OR EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype NOT IN ('p', 'n'))
  OR EXISTS (SELECT FROM pg_description d
              WHERE d.classoid = 'pg_class'::regclass AND d.objoid = c.oid)
  OR EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = c.oid)
  OR EXISTS (SELECT FROM pg_publication_rel p WHERE p.prrelid = c.oid)
  OR EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_class'::regclass
              AND d.refobjid = c.oid AND d.deptype = 'n'))
"""

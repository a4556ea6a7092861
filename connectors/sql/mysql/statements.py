"""What is asked of ``information_schema``."""

from connectors.sql.names import TableName, literal

_SYSTEM = "('information_schema', 'mysql', 'performance_schema', 'sys')"


def _of(name: TableName | None, prefix: str) -> str:
    if name is None:
        return f"{prefix}table_schema NOT IN {_SYSTEM}"
    schema, table = literal(name.schema or ""), literal(name.table)
    return f"{prefix}table_schema = {schema} AND {prefix}table_name = {table}"


def columns(name: TableName | None) -> str:
    """Schema, table, kind, column, type, collation, nullable and comment; in order."""
    return (
        "SELECT c.table_schema, c.table_name, t.table_type, c.column_name, c.column_type, "
        "c.collation_name, c.is_nullable, c.column_comment FROM information_schema.columns AS c "
        "JOIN information_schema.tables AS t USING (table_schema, table_name) "
        f"WHERE {_of(name, 'c.')} AND t.table_type IN ('BASE TABLE', 'VIEW', 'SYSTEM VERSIONED') "
        "ORDER BY c.table_schema, c.table_name, c.ordinal_position"
    )


def indexes(name: TableName | None) -> str:
    """Schema, table, index, column, place in the index, and how much of the column is in it."""
    return (
        "SELECT table_schema, table_name, index_name, column_name, seq_in_index, sub_part "
        f"FROM information_schema.statistics WHERE {_of(name, '')} AND index_type = 'BTREE' "
        "ORDER BY index_name, seq_in_index"
    )


def json_checks(name: TableName | None) -> str:
    """MariaDB's JSON columns: texts with a check of that name."""
    prefix = "constraint_schema"
    which = (
        f"{prefix} NOT IN {_SYSTEM}"
        if name is None
        else f"{prefix} = {literal(name.schema or '')} AND table_name = {literal(name.table)}"
    )
    return (
        "SELECT constraint_schema, table_name, constraint_name "
        "FROM information_schema.check_constraints "
        f"WHERE {which} AND level = 'Column' AND check_clause LIKE 'json\\_valid(%' ESCAPE '\\'"
    )


def has_database(name: str) -> str:
    """Finds whether a database is there."""
    return f"SELECT 1 FROM information_schema.schemata WHERE schema_name = {literal(name)}"


def attributes(name: TableName) -> str:
    """The columns with something that a change of their type would lose."""
    return (
        f"SELECT column_name FROM information_schema.columns WHERE {_of(name, '')} "
        "AND (extra <> '' OR coalesce(column_default, 'NULL') <> 'NULL' "
        "OR (is_nullable = 'NO' AND column_key <> 'PRI') "
        "OR (column_comment <> '' AND column_comment NOT LIKE 'sync:%'))"
    )


def table_comment(name: TableName) -> str:
    """What a table says of itself."""
    return f"SELECT table_comment FROM information_schema.tables WHERE {_of(name, '')}"

"""The table that is moved: its shape, its rows, and how it changes."""

from collections.abc import Mapping

import psycopg

STREAM = "orders"
KEY = "id"
CURSOR = "updated_at"

COLUMNS: Mapping[str, str] = {
    "id": "bigint PRIMARY KEY",
    "customer_id": "integer NOT NULL",
    "quantity": "integer NOT NULL",
    "status": "text NOT NULL",
    "currency": "text NOT NULL",
    "total": "numeric(12,2) NOT NULL",
    "note": "text",
    "meta": "jsonb NOT NULL",
    "created_at": "timestamptz NOT NULL",
    "updated_at": "timestamptz NOT NULL",
}

CSV_COLUMNS: Mapping[str, str] = {
    "id": "BIGINT",
    "customer_id": "INTEGER",
    "quantity": "INTEGER",
    "status": "VARCHAR",
    "currency": "VARCHAR",
    "total": "DECIMAL(12,2)",
    "note": "VARCHAR",
    "meta": "JSON",
    "created_at": "TIMESTAMPTZ",
    "updated_at": "TIMESTAMPTZ",
}
"""The same for DuckDB's CSV reader, so that it need not guess."""

# Every value follows from the row's number: two runs have the same table.
_ROWS = """
INSERT INTO orders
SELECT n, n * 7919 % 50000, 1 + n % 9,
       (ARRAY['new', 'paid', 'packed', 'shipped', 'returned'])[1 + n % 5],
       (ARRAY['EUR', 'USD', 'CAD'])[1 + n % 3],
       (n * 104729 % 10000000) / 100.0,
       CASE WHEN n % 3 <> 0 THEN left(md5(n::text) || md5((-n)::text), 60) END,
       jsonb_build_object('channel', (ARRAY['web', 'shop', 'phone'])[1 + n % 3],
                          'items', 1 + n % 9, 'weight', (n * 31 % 1000) / 10.0,
                          'gift', n % 11 = 0),
       {created}, {updated}
  FROM generate_series({first}::bigint, {last}::bigint) AS n
"""
_YEAR_AGO = "date_trunc('day', now()) - interval '365 days'"


def create(url: str, rows: int) -> None:
    """Make the table with so many rows, changed over the last year."""
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    created = f"{_YEAR_AGO} + n * interval '360 days' / {rows}"
    # Changed up to three days later, so that the cursor's order is not quite the key's.
    updated = f"{created} + (n * 7919 % 259200) * interval '1 second' + interval '1 microsecond'"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE orders ({columns})".encode())
        filled = _ROWS.format(first=1, last=rows, created=created, updated=updated)
        connection.execute(filled.encode())
        connection.execute("CREATE INDEX orders_updated_at ON orders (updated_at)")
        connection.execute("VACUUM (ANALYZE) orders")


def change(url: str, changed: int) -> int:
    """Change so many rows, a fifth of them new, at the clock's time; how many there are now."""
    added = changed // 5
    with psycopg.connect(url, autocommit=True) as connection:
        (last,) = connection.execute("SELECT max(id) FROM orders").fetchone() or (0,)
        connection.execute(
            "UPDATE orders SET quantity = quantity + 1, status = 'changed', "
            "updated_at = clock_timestamp() WHERE id IN (SELECT DISTINCT 1 + "
            "(random() * %s)::bigint FROM generate_series(1, %s) LIMIT %s)",
            [last - 1, 2 * changed, changed - added],
        )
        now = "clock_timestamp()"
        new = _ROWS.format(first=last + 1, last=last + added, created=now, updated=now)
        connection.execute(new.encode())
        connection.execute("VACUUM (ANALYZE) orders")
    return int(last) + added


def create_empty(url: str, schema: str) -> None:
    """The table as a person would make it for psql: with its primary key."""
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}".encode())
        connection.execute(f"CREATE TABLE {schema}.orders ({columns})".encode())


def upsert(schema: str) -> str:
    """What a person would write to merge ``staged``."""
    sets = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name != KEY)
    return (
        f"INSERT INTO {schema}.orders SELECT * FROM staged ON CONFLICT ({KEY}) DO UPDATE SET {sets}"
    )


def watermark(url: str, schema: str) -> str:
    """Where psql's copy stands."""
    with psycopg.connect(url) as connection:
        query = f"SELECT max({CURSOR})::text FROM {schema}.orders"
        (mark,) = connection.execute(query.encode()).fetchone() or ("-infinity",)
        return str(mark)


def drop(url: str, schema: str) -> None:
    """Remove a contender's tables."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())


def checkpoint(url: str) -> None:
    """Write out what an earlier turn left to be written, so that it is not paid in the next."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")


def fingerprint(url: str, schema: str, row_filter: str = "TRUE") -> tuple[int, str]:
    """How many rows a copy has, and a number that changes with any of their values."""
    columns = ", ".join(COLUMNS)
    query = (
        f"SELECT count(*), coalesce(sum(hashtextextended(ROW({columns})::text, 0)::numeric), 0)"
        f"::text FROM {schema}.orders WHERE {row_filter}"
    )
    with psycopg.connect(url) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        count, total = connection.execute(query.encode()).fetchone() or (0, "")
    return int(count), str(total)


def extend(url: str, rows: int) -> None:
    """Add rows until there are so many."""
    with psycopg.connect(url, autocommit=True) as connection:
        (last,) = connection.execute("SELECT max(id) FROM orders").fetchone() or (0,)
        now = "clock_timestamp()"
        new = _ROWS.format(first=last + 1, last=rows, created=now, updated=now)
        connection.execute(new.encode())
        connection.execute("VACUUM (ANALYZE) orders")

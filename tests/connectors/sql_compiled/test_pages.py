"""Pages, the greatest cursor and watermarks, as SQL Server and Oracle are asked for them."""

from typing import Any

import pytest
from sqlalchemy import types as t
from sqlalchemy.dialects import mssql, oracle

from connectors.sql.core.pages import Pages, greatest
from connectors.sql.cursor import Kind, Mark
from connectors.sql.mssql.speech import SqlServer
from connectors.sql.names import TableName
from connectors.sql.oracle.speech import Oracle
from connectors.sql.reader import Query
from connectors.sql.tables import Table
from tests.connectors.sql_compiled.servers import SERVERS, column, sql


def pages(server: str, changed: t.TypeEngine[Any], *, order: bool = True, key: int = 1) -> Pages:
    """The pages of a table of orders."""
    number = mssql.INTEGER() if server == "mssql" else oracle.NUMBER(10, 0)
    columns = (
        column(server, "ID", number),
        column(server, "SHOP", t.VARCHAR(20, collation="Latin1_General_CI_AS")),
        column(server, "CHANGED", changed),
    )
    name = TableName(schema="Sales", table="ORDERS")
    keys = ("ID", "SHOP")[:key]
    table = Table(name=name, columns=columns, primary_key=keys)
    query = Query(
        table=name,
        columns=columns[:1],
        key=keys,
        conditions=('"CHANGED" >= 1', "NOTE = 'a:b%' -- paid"),
        order="CHANGED" if order else None,
        batch_rows=500,
    )
    return Pages.of(SERVERS[server][0], query, table)


WHERE = "WHERE (\"CHANGED\" >= 1 ) AND (NOTE = 'a:b%' -- paid )"
"""A line break, which is a space here, ends what a tenant's condition comments out."""


def test_a_page_of_sql_server_is_the_top_of_what_comes_after_the_last_row():
    asked = pages("mssql", mssql.DATETIME2())

    first, next_one = sql("mssql", asked.first()), sql("mssql", asked.after((7, "p", 7)))

    assert first == (
        'SELECT TOP 500 "ID" AS c0, CONVERT(varchar(40), "CHANGED", 121) AS c1, "ID" AS c2 '
        f'FROM [Sales].[ORDERS] {WHERE} ORDER BY "CHANGED", "ID"'
    )
    assert next_one == first.replace(
        " ORDER BY",
        " AND (\"CHANGED\" > CAST('p' AS DATETIME2) OR \"CHANGED\" = CAST('p' AS DATETIME2) "
        'AND "ID" > CAST(7 AS INTEGER)) ORDER BY',
    )


def test_a_page_of_oracle_is_the_first_of_what_comes_after_the_last_row():
    asked = pages("oracle", oracle.TIMESTAMP(timezone=True))
    utc = "TO_CHAR(SYS_EXTRACT_UTC(\"CHANGED\"), 'YYYY-MM-DD HH24:MI:SS.FF9')"
    there = "FROM_TZ(TO_TIMESTAMP('p', 'YYYY-MM-DD HH24:MI:SS.FF9'), 'UTC')"

    first, next_one = sql("oracle", asked.first()), sql("oracle", asked.after((7, "p", 7)))

    assert first == (
        f'SELECT "ID" AS c0, {utc} AS c1, "ID" AS c2 FROM "Sales"."ORDERS" {WHERE} '
        'ORDER BY "CHANGED", "ID" FETCH FIRST 500 ROWS ONLY'
    )
    assert next_one == first.replace(
        " ORDER BY", f' AND ("CHANGED" > {there} OR "CHANGED" = {there} AND "ID" > 7) ORDER BY'
    )


@pytest.mark.parametrize("server", SERVERS)
def test_a_full_read_rises_by_a_key_of_several_columns(server):
    """Neither server compares rows of values, so it is spelled out; texts in their own type."""
    asked = pages(
        server, t.TIMESTAMP() if server == "oracle" else mssql.DATETIME(), order=False, key=2
    )

    said = sql(server, asked.after((7, 7, "b")))

    shop = "CAST('b' AS VARCHAR(20))" if server == "mssql" else "'b'"
    number = "CAST(7 AS INTEGER)" if server == "mssql" else "7"
    assert f'("ID" > {number} OR "ID" = {number} AND "SHOP" > {shop})' in said
    assert 'ORDER BY "ID", "SHOP"' in said


@pytest.mark.parametrize("server", SERVERS)
def test_without_a_key_all_rows_are_one_statement(server):
    kind = mssql.DATETIME2() if server == "mssql" else oracle.DATE()
    said = sql(server, pages(server, kind, key=0).first())

    assert said.endswith('ORDER BY "CHANGED"')
    assert "TOP" not in said
    assert "FETCH" not in said


@pytest.mark.parametrize(
    ("server", "kind", "expected"),
    [
        ("mssql", mssql.DATETIME2(), 'max("CHANGED")'),
        (
            "mssql",
            mssql.DATETIMEOFFSET(),
            "CAST(SWITCHOFFSET(max(\"CHANGED\"), '+00:00') AS datetime2(7))",
        ),
        ("mssql", mssql.TIMESTAMP(), 'CAST(max("CHANGED") AS bigint)'),
        ("oracle", oracle.DATE(), 'max("CHANGED")'),
        ("oracle", oracle.TIMESTAMP(timezone=True), 'SYS_EXTRACT_UTC(max("CHANGED"))'),
    ],
)
def test_the_greatest_cursor_is_asked_for_exactly(server, kind, expected):
    asked = pages(server, kind)
    changed = column(server, "CHANGED", kind)

    said = sql(server, greatest(asked.speech, asked.query, changed))

    assert said.startswith(f"SELECT {expected}")
    assert said.endswith(WHERE)


MARKS = {
    Kind.INTEGER: ("4711", "4711", "4711"),
    Kind.DECIMAL: ("4711.50", "4711.50", "4711.50"),
    Kind.DATE: ("2026-01-31", "CAST('2026-01-31' AS date)", "DATE '2026-01-31'"),
    Kind.TIMESTAMP: (
        "2026-01-31T12:00:00.123456",
        "CAST('2026-01-31T12:00:00.123456' AS datetime2(6))",
        "TIMESTAMP '2026-01-31 12:00:00.123456'",
    ),
    Kind.INSTANT: (
        "2026-01-31T12:00:00.123456+00:00",
        "CAST('2026-01-31T12:00:00.123456+00:00' AS datetimeoffset(6))",
        "TIMESTAMP '2026-01-31 12:00:00.123456 +00:00'",
    ),
    Kind.TEXT: ("o'x", "'o''x'", "'o''x'"),
}


@pytest.mark.parametrize("kind", MARKS)
def test_a_watermark_is_a_constant_of_its_kind(kind):
    said, of_sql_server, of_oracle = MARKS[kind]
    mark = Mark.parse(kind, said)

    assert SqlServer().constant(mark) == of_sql_server
    assert Oracle().constant(mark) == of_oracle

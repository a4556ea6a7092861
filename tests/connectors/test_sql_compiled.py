"""SQL Server and Oracle: their SQL as it is compiled, their values and their errors.

No SQL Server and no Oracle runs in the tests.
"""

import subprocess
import sys
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from sqlalchemy import types as t
from sqlalchemy.dialects import mssql, oracle
from sqlalchemy.dialects.mssql.pymssql import MSDialect_pymssql
from sqlalchemy.dialects.oracle.oracledb import OracleDialect_oracledb

from connectors import registry
from connectors.arrow import Digits, Logical, Native, field
from connectors.errors import AuthError, ConfigError, ConnectorError, TransientError
from connectors.sql.config import DatabaseConfig
from connectors.sql.core.pages import Pages, greatest
from connectors.sql.core.session import CoreSession
from connectors.sql.core.speech import Speech, spelled
from connectors.sql.cursor import Kind, Mark
from connectors.sql.mssql.speech import SqlServer
from connectors.sql.names import TableName
from connectors.sql.oracle.speech import Oracle
from connectors.sql.reader import Query
from connectors.sql.tables import Column, Table

SERVERS: dict[str, tuple[Speech, sa.Dialect]] = {
    "mssql": (SqlServer(), MSDialect_pymssql()),
    "oracle": (Oracle(), OracleDialect_oracledb()),
}

URLS = {
    "mssql": "mssql://sync:s3cret@db.example/shop?tls=require",
    "oracle": "oracle://sync:s3cret@db.example/SHOP?tls=verify",
}


# What is asked, compiled


def column(server: str, name: str, kind: t.TypeEngine[Any], *, nullable: bool = False) -> Column:
    """A column as the catalog tells it."""
    speech, dialect = SERVERS[server]
    meaning = speech.meaning(kind)
    assert meaning is not None
    native = spelled(kind, dialect)
    made = field(
        name,
        meaning.storage,
        native=Native(dialect=server, type=native),
        logical=meaning.logical,
        digits=meaning.digits,
        length=meaning.length,
    )
    return Column(name=name, native=native, nullable=nullable, field=made)


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


def sql(server: str, statement: sa.Select[Any]) -> str:
    """As it is sent, with its values in their places."""
    compiled = statement.compile(dialect=SERVERS[server][1], compile_kwargs={"literal_binds": True})
    return " ".join(str(compiled).split())


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


# Types


@pytest.mark.parametrize(
    ("server", "kind", "storage", "logical", "digits"),
    [
        ("mssql", mssql.BIT(), pa.bool_(), None, None),
        ("mssql", mssql.TINYINT(), pa.int16(), None, None),
        ("mssql", mssql.SMALLINT(), pa.int16(), None, None),
        ("mssql", mssql.INTEGER(), pa.int32(), None, None),
        ("mssql", mssql.BIGINT(), pa.int64(), None, None),
        ("mssql", mssql.TIMESTAMP(), pa.int64(), None, None),
        (
            "mssql",
            mssql.DECIMAL(12, 2),
            pa.string(),
            Logical.DECIMAL,
            Digits(precision=12, scale=2),
        ),
        ("mssql", mssql.MONEY(), pa.string(), Logical.DECIMAL, Digits(precision=19, scale=4)),
        ("mssql", mssql.REAL(), pa.float32(), None, None),
        ("mssql", mssql.FLOAT(), pa.float64(), None, None),
        ("mssql", mssql.DATE(), pa.date32(), None, None),
        ("mssql", mssql.TIME(), pa.time64("us"), None, None),
        ("mssql", mssql.DATETIME(), pa.timestamp("us"), None, None),
        ("mssql", mssql.SMALLDATETIME(), pa.timestamp("us"), None, None),
        ("mssql", mssql.DATETIME2(), pa.timestamp("us"), None, None),
        ("mssql", mssql.DATETIMEOFFSET(), pa.timestamp("us", "UTC"), None, None),
        ("mssql", mssql.NVARCHAR(20), pa.string(), None, None),
        ("mssql", mssql.NTEXT(), pa.string(), None, None),
        ("mssql", mssql.VARBINARY(), pa.binary(), None, None),
        ("mssql", mssql.BINARY(8), pa.binary(), None, None),
        ("mssql", mssql.IMAGE(), pa.binary(), None, None),
        ("mssql", mssql.UNIQUEIDENTIFIER(), pa.string(), Logical.UUID, None),
        ("mssql", mssql.XML(), pa.string(), Logical.XML, None),
        ("mssql", mssql.SQL_VARIANT(), pa.string(), Logical.OTHER, None),
        ("mssql", t.NullType(), pa.string(), Logical.OTHER, None),
        ("oracle", oracle.NUMBER(), pa.string(), Logical.DECIMAL, None),
        ("oracle", oracle.NUMBER(18, 0), pa.int64(), None, None),
        (
            "oracle",
            oracle.NUMBER(19, 0),
            pa.string(),
            Logical.DECIMAL,
            Digits(precision=19, scale=0),
        ),
        (
            "oracle",
            oracle.NUMBER(10, 2),
            pa.string(),
            Logical.DECIMAL,
            Digits(precision=10, scale=2),
        ),
        (
            "oracle",
            oracle.NUMBER(17, -2),
            pa.string(),
            Logical.DECIMAL,
            Digits(precision=19, scale=0),
        ),
        ("oracle", oracle.NUMBER(2, 5), pa.string(), Logical.DECIMAL, Digits(precision=5, scale=5)),
        ("oracle", t.INTEGER(), pa.string(), Logical.DECIMAL, Digits(precision=38, scale=0)),
        ("oracle", oracle.FLOAT(126), pa.string(), Logical.DECIMAL, None),
        ("oracle", oracle.BINARY_FLOAT(), pa.float32(), None, None),
        ("oracle", oracle.BINARY_DOUBLE(), pa.float64(), None, None),
        ("oracle", oracle.DATE(), pa.timestamp("us"), None, None),
        ("oracle", oracle.TIMESTAMP(), pa.timestamp("us"), None, None),
        ("oracle", oracle.TIMESTAMP(timezone=True), pa.timestamp("us", "UTC"), None, None),
        ("oracle", oracle.INTERVAL(), pa.string(), Logical.INTERVAL, None),
        ("oracle", oracle.VARCHAR2(20), pa.string(), None, None),
        ("oracle", oracle.CLOB(), pa.string(), None, None),
        ("oracle", oracle.LONG(), pa.string(), None, None),
        ("oracle", oracle.RAW(16), pa.binary(), None, None),
        ("oracle", oracle.BLOB(), pa.binary(), None, None),
        ("oracle", oracle.ROWID(), pa.string(), Logical.OTHER, None),
    ],
    ids=lambda one: (
        one if isinstance(one, str) else repr(one) if isinstance(one, t.TypeEngine) else ""
    ),
)
def test_every_type_is_one_that_holds_its_values(server, kind, storage, logical, digits):
    meaning = SERVERS[server][0].meaning(kind)

    assert meaning is not None
    assert (meaning.storage, meaning.logical, meaning.digits) == (storage, logical, digits)


@pytest.mark.parametrize("kind", [oracle.BFILE(), t.NullType()])
def test_what_oracle_cannot_say_as_a_value_is_left_out(kind):
    assert Oracle().meaning(kind) is None


@pytest.mark.parametrize(
    ("server", "kind", "expected"),
    [
        ("mssql", mssql.SQL_VARIANT(), 'CAST("C" AS nvarchar(max))'),
        ("mssql", mssql.XML(), 'CAST("C" AS nvarchar(max))'),
        ("mssql", mssql.TIMESTAMP(), 'CAST("C" AS bigint)'),
        ("mssql", mssql.DATETIME2(), '"C"'),
        ("oracle", oracle.INTERVAL(), 'TO_CHAR("C")'),
        ("oracle", oracle.ROWID(), 'ROWIDTOCHAR("C")'),
        ("oracle", oracle.TIMESTAMP(timezone=True), 'SYS_EXTRACT_UTC("C")'),
        ("oracle", oracle.DATE(), '"C"'),
    ],
)
def test_a_value_is_asked_for_as_the_driver_can_hand_it_over(server, kind, expected):
    made = column(server, "C", kind)

    asked = SERVERS[server][0].selected(made, '"C"')

    assert sql(server, sa.select(asked)).startswith(f"SELECT {expected}")


@pytest.mark.parametrize(
    ("server", "kind", "place", "bound"),
    [
        ("mssql", mssql.TIMESTAMP(), 'CAST("C" AS bigint)', "CAST('p' AS binary(8))"),
        (
            "mssql",
            mssql.UNIQUEIDENTIFIER(),
            'CAST("C" AS char(36))',
            "CAST('p' AS UNIQUEIDENTIFIER)",
        ),
        ("mssql", mssql.DATETIME(), 'CONVERT(varchar(40), "C", 121)', "CAST('p' AS DATETIME)"),
        (
            "oracle",
            oracle.DATE(),
            "TO_CHAR(\"C\", 'YYYY-MM-DD HH24:MI:SS')",
            "TO_DATE('p', 'YYYY-MM-DD HH24:MI:SS')",
        ),
    ],
)
def test_a_place_is_told_and_compared_with_all_its_digits(server, kind, place, bound):
    speech, made = SERVERS[server][0], column(server, "C", kind)

    told, compared = speech.place(made), speech.bound(made, "p")

    assert sql(server, sa.select(told)).startswith(f"SELECT {place}")
    assert sql(server, sa.select(compared)).startswith(f"SELECT {bound}")


# Connections


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_is_known_by_its_url_without_its_password(server):
    config = DatabaseConfig.model_validate({"url": URLS[server]})
    url, arguments = SERVERS[server][0].engine(config)

    assert "s3cret" not in config.redacted
    assert url.get_dialect().__name__.endswith(("pymssql", "oracledb"))
    assert (url.host, url.port) == ("db.example", {"mssql": 1433, "oracle": 1521}[server])
    insists = {"encryption": "require"} if server == "mssql" else {"protocol": "tcps"}
    assert insists.items() <= arguments.items()


@pytest.mark.parametrize("server", SERVERS)
def test_they_are_not_written_to(server):
    destination = registry.get("database").open_destination({"url": URLS[server]})

    with pytest.raises(ConfigError, match="read from and not written to"):
        destination.check()


@pytest.mark.parametrize(("server", "missing"), [("mssql", "pymssql"), ("oracle", "oracledb")])
def test_without_its_driver_it_says_what_to_install(server, missing):
    program = f"""
import sys
sys.modules[{missing!r}] = None
from connectors import registry
from connectors.errors import ConfigError
source = registry.get("database").open_source({{"url": {URLS[server]!r}}})
try:
    source.check()
except ConfigError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )

    assert f"needs the package {missing}; install sync-pipelines[{server}]" in done.stdout


@pytest.mark.parametrize(
    ("server", "said", "expected"),
    [
        ("mssql", "(18456, b'Login failed for user')", AuthError),
        ("mssql", "(1205, b'Transaction was deadlocked')", TransientError),
        ("mssql", "(20009, b'DB-Lib error message 20009, severity 9')", TransientError),
        ("mssql", "(208, b'Invalid object name')", ConfigError),
        ("oracle", "ORA-01017: invalid credential", AuthError),
        ("oracle", "DPY-6005: cannot connect to database. ORA-1", TransientError),
        ("oracle", "ORA-01555: snapshot too old", TransientError),
        ("oracle", "ORA-00942: table or view does not exist", ConfigError),
    ],
)
def test_an_error_is_told_by_what_helps(server, said, expected):
    config = DatabaseConfig.model_validate({"url": URLS[server]})
    session = CoreSession(config, SERVERS[server][0])
    raised = sa.exc.DBAPIError("SELECT secret", {"x": "secret"}, Exception(said))

    with pytest.raises(ConnectorError) as told, session.translated("reading"):
        raise raised

    assert type(told.value) is expected
    assert "secret" not in str(told.value).replace("s3cret", "")

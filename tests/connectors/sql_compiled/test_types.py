"""Types of SQL Server and Oracle: what holds their values, and how these are asked for."""

import pyarrow as pa
import pytest
import sqlalchemy as sa
from sqlalchemy import types as t
from sqlalchemy.dialects import mssql, oracle

from connectors.arrow import Digits, Logical
from connectors.sql.oracle.speech import Oracle
from tests.connectors.sql_compiled.servers import SERVERS, column, sql


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

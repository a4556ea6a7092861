"""SQL Server and Oracle: their SQL as it is compiled.

No SQL Server and no Oracle runs in the tests.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import types as t
from sqlalchemy.dialects.mssql.pymssql import MSDialect_pymssql
from sqlalchemy.dialects.oracle.oracledb import OracleDialect_oracledb

from connectors.arrow import Native, field
from connectors.sql.core.speech import Speech, spelled
from connectors.sql.mssql.speech import SqlServer
from connectors.sql.oracle.speech import Oracle
from connectors.sql.tables import Column

SERVERS: dict[str, tuple[Speech, sa.Dialect]] = {
    "mssql": (SqlServer(), MSDialect_pymssql()),
    "oracle": (Oracle(), OracleDialect_oracledb()),
}
URLS = {
    "mssql": "mssql://sync:s3cret@db.example/shop?tls=require",
    "oracle": "oracle://sync:s3cret@db.example/SHOP?tls=verify",
}


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


def sql(server: str, statement: sa.Select[Any]) -> str:
    """As it is sent, with its values in their places."""
    compiled = statement.compile(dialect=SERVERS[server][1], compile_kwargs={"literal_binds": True})
    return " ".join(str(compiled).split())

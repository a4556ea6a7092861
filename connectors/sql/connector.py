"""The connector ``database``: PostgreSQL, MySQL, SQLite and DuckDB, told apart by the URL.

SQL Server and Oracle are sources only.
"""

from pathlib import Path

from connectors.contract import Destination, Source
from connectors.registry import Connector
from connectors.sql.config import FILES, PORTS, DatabaseConfig
from connectors.sql.reach import reach

POSTGRES_PORT = "5432"
THIS_MACHINE = frozenset({"127.0.0.1", "::1"})


def _source(config: DatabaseConfig) -> Source:
    from connectors.sql.source import open_source

    return open_source(config)


def _destination(config: DatabaseConfig) -> Destination:
    from connectors.sql.destination import open_destination

    return open_destination(config)


def _most_at_once(config: DatabaseConfig) -> int | None:
    """A file has one writer at a time; a second one would only wait or fail."""
    return 1 if config.dialect in FILES else None


def _place(config: DatabaseConfig) -> str:
    """Where the database is, however its URL is written: server and name, or file."""
    if config.dialect in PORTS:
        at = config.address
        named = "localhost" if at.host in THIS_MACHINE else at.host
        return f"{config.dialect}://{named}:{at.port}/{at.database}"
    if config.dialect in FILES:
        return f"{config.dialect}:///{Path(config.path).resolve()}"
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        said = conninfo_to_dict(config.conninfo)
    except ProgrammingError:  # the driver's business, once somebody connects
        return config.redacted
    host = str(said.get("hostaddr") or said.get("host") or "").lower()
    name = said.get("dbname") or said.get("user") or ""
    where = "localhost" if host in THIS_MACHINE else host
    return f"postgresql://{where}:{said.get('port') or POSTGRES_PORT}/{name}"


CONNECTOR = Connector(
    name="database",
    collection="tables",
    title="Database (PostgreSQL, MySQL, MariaDB, SQL Server, Oracle, SQLite, DuckDB)",
    config=DatabaseConfig,
    source=_source,
    destination=_destination,
    most_at_once=_most_at_once,
    place=_place,
    reach=reach,
)

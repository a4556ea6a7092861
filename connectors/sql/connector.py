"""The connector ``database``: PostgreSQL, SQLite and DuckDB, told apart by the URL."""

from connectors.contract import Destination, Source
from connectors.registry import Connector
from connectors.sql.config import DatabaseConfig


def _source(config: DatabaseConfig) -> Source:
    from connectors.sql.source import open_source

    return open_source(config)


def _destination(config: DatabaseConfig) -> Destination:
    from connectors.sql.destination import open_destination

    return open_destination(config)


CONNECTOR = Connector(
    name="database",
    collection="tables",
    title="Database (PostgreSQL, SQLite, DuckDB)",
    config=DatabaseConfig,
    source=_source,
    destination=_destination,
)

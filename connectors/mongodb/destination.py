"""A MongoDB database as a destination: a collection for each table."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pyarrow as pa

from connectors.contract import Destination, Encoding, Target, Writer
from connectors.errors import ConfigError
from connectors.mongodb.config import MongoConfig
from connectors.mongodb.documents import table as table_of
from connectors.mongodb.session import MongoSession, translated
from connectors.mongodb.state import collection_name, known_schema
from connectors.mongodb.writer import MongoWriter


def _now() -> datetime:
    return datetime.now(UTC)


def open_destination(config: MongoConfig) -> Destination:
    """A destination on this database; connects when first used."""
    return MongoDestination(config)


class MongoDestination:
    """See `connectors.contract.Destination`."""

    def __init__(self, config: MongoConfig, *, clock: Callable[[], datetime] = _now) -> None:
        self._session = MongoSession(config)
        self._clock = clock

    def check(self) -> str:
        """Connect, and say to what, and whether it has transactions."""
        self._session.names()
        lone = "" if self._session.has_transactions else ", which has no transactions"
        return self._session.version() + lone

    def encodings(self, target: Target) -> Sequence[Encoding]:
        """Arrow."""
        return (Encoding.ARROW,)

    def open(self, target: Target, encoding: Encoding) -> Writer:
        """Start writing; the collection is made by the first commit."""
        if encoding is not Encoding.ARROW:
            raise ConfigError(f"{target.table!r} cannot be written as {encoding}; use arrow")
        return MongoWriter(self._session, target, self._clock)

    def read_table(self, dataset: str, table: str) -> pa.Table:
        """A whole collection as Arrow, for transforms and reports downstream."""
        name = collection_name(dataset, table)
        schema = known_schema(self._session, name)
        if schema is None:
            raise ConfigError(f"there is no collection {name!r} that a sync has written")
        with translated("reading"):
            return table_of(list(self._session.collection(name).find()), schema)

    def close(self) -> None:
        """Release connections; safe to call twice."""
        self._session.close()

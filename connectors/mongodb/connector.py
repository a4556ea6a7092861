"""The connector ``mongodb``."""

from connectors.contract import Destination, Source
from connectors.mongodb.config import MongoConfig
from connectors.registry import Connector


def _source(config: MongoConfig) -> Source:
    from connectors.mongodb.source import open_source

    return open_source(config)


def _destination(config: MongoConfig) -> Destination:
    from connectors.mongodb.destination import open_destination

    return open_destination(config)


CONNECTOR = Connector(
    name="mongodb",
    collection="collections",
    title="MongoDB",
    config=MongoConfig,
    source=_source,
    destination=_destination,
    place=lambda config: config.redacted,
)

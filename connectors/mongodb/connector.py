"""The connector ``mongodb``."""

from connectors.contract import Source
from connectors.mongodb.config import MongoConfig
from connectors.registry import Connector


def _source(config: MongoConfig) -> Source:
    from connectors.mongodb.source import open_source

    return open_source(config)


CONNECTOR = Connector(
    name="mongodb",
    collection="collections",
    title="MongoDB",
    config=MongoConfig,
    source=_source,
    place=lambda config: config.redacted,
)

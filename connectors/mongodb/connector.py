"""The connector ``mongodb``."""

from importlib import import_module

from connectors.contract import Destination, Source
from connectors.errors import ConfigError
from connectors.mongodb.config import MongoConfig
from connectors.mongodb.reach import reach
from connectors.registry import Connector


def _require_driver() -> None:
    """The driver is an extra, because few need it."""
    try:
        import_module("bson")
        import_module("pymongo")
    except ImportError as error:
        raise ConfigError(
            "MongoDB needs the package pymongo; install sync-pipelines[mongodb]"
        ) from error


def _source(config: MongoConfig) -> Source:
    _require_driver()
    from connectors.mongodb.source import open_source

    return open_source(config)


def _destination(config: MongoConfig) -> Destination:
    _require_driver()
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
    reach=reach,
)

"""The connector ``files``: objects of a store, told apart by the URL."""

from connectors.contract import Destination, Source
from connectors.files.config import FilesConfig
from connectors.files.reach import reach
from connectors.registry import Connector


def _source(config: FilesConfig) -> Source:
    from connectors.files.source import open_source

    return open_source(config)


def _destination(config: FilesConfig) -> Destination:
    from connectors.files.destination import open_destination

    return open_destination(config)


def _place(config: FilesConfig) -> str:
    """Where the files are, without credentials."""
    return config.redacted


CONNECTOR = Connector(
    name="files",
    collection="files",
    title="Files (local, S3, Google Cloud Storage, Azure, SFTP)",
    config=FilesConfig,
    source=_source,
    destination=_destination,
    place=_place,
    reach=reach,
)

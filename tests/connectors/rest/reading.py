"""Opens a source by its configuration, and reads a stream of it."""

from connectors import registry
from connectors.contract import Encoding, Selection, SyncMode
from tests.connectors.rest_systems import config


def opened(api, *streams, **more):
    return registry.get("rest_api").open_source(config(api.url, *streams, **more))


def read(source, name="orders", *, mode=SyncMode.INCREMENTAL, state=None, **how):
    selection = Selection(stream=source.stream(name), mode=mode, **how)
    return list(source.read(selection, state, Encoding.ARROW))


def ids(batches):
    return [found for batch in batches for found in batch.data.column("id").to_pylist()]

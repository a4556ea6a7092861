"""Reads a stream of a source, and tells the records by their ids."""

from connectors.contract import Encoding, Selection, SyncMode


def read(source, name="orders", *, mode=SyncMode.INCREMENTAL, state=None, **how):
    selection = Selection(stream=source.stream(name), mode=mode, **how)
    return list(source.read(selection, state, Encoding.ARROW))


def ids(batches):
    return [found for batch in batches for found in batch.data.column("id").to_pylist()]

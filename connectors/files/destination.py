"""Files as a destination: each table is a directory of objects and a manifest that names them.

Laws:

* Readers who take the manifest's objects, and no others, see every record exactly once.
* Rejected records are beside the data of their table, and read as one table of the dataset.
* An append adds one object a commit. An upsert reads the table and writes it anew, and so
  does a replace: for tables of modest size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pyarrow as pa

from connectors.contract import Destination, Encoding, Target, Writer
from connectors.errors import ConfigError, ContractError
from connectors.files.config import FilesConfig
from connectors.files.manifest import NAME, Manifest, directory, folder_of
from connectors.files.parts import Form
from connectors.files.stores import ChangedError, Store, open_store
from connectors.files.writer import FilesWriter, stored_parts, stored_rejected
from connectors.rejected import REJECTED_TABLE, rejected_schema


def _now() -> datetime:
    return datetime.now(UTC)


def open_destination(config: FilesConfig, clock: Callable[[], datetime] = _now) -> Destination:
    """A destination in that place; nothing is connected to yet."""
    return FilesDestination(config=config, clock=clock)


class FilesDestination:
    """See `connectors.contract.Destination`."""

    def __init__(self, *, config: FilesConfig, clock: Callable[[], datetime]) -> None:
        self._config = config
        self._clock = clock
        self._store: Store | None = None

    @property
    def _opened(self) -> Store:
        if self._store is None:
            self._store = open_store(self._config)
        return self._store

    def check(self) -> str:
        """Look at the root."""
        return self._opened.check()

    def encodings(self, target: Target) -> Sequence[Encoding]:
        """Arrow."""
        return (Encoding.ARROW,)

    def open(self, target: Target, encoding: Encoding) -> Writer:
        """Look at the manifest."""
        if encoding is not Encoding.ARROW:
            raise ContractError(f"files are written from Arrow, not from {encoding}")
        writing = self._config.writing
        form = Form(format=writing.format, compression=writing.packed)
        return FilesWriter(store=self._opened, target=target, clock=self._clock, form=form)

    def read_table(self, dataset: str, table: str) -> pa.Table:
        """All objects that the manifest names; ``_rejected`` of all the dataset's tables."""
        if table == REJECTED_TABLE:
            return self._rejected(dataset)
        place = directory(dataset, table)
        manifest = self._manifest(place)
        if manifest is None:
            raise ConfigError(f"there is no table {dataset}.{table} below {self._config.redacted}")
        tables = stored_parts(self._opened, place, manifest)
        return pa.concat_tables([manifest.schema.empty_table(), *tables])

    def _manifest(self, place: str) -> Manifest | None:
        held = self._opened.get(f"{place}/{NAME}")
        return None if held is None else Manifest.parse(held.content, f"{place}/{NAME}")

    def _rejected(self, dataset: str) -> pa.Table:
        tables = [rejected_schema().empty_table()]
        for place in self._places(dataset):
            manifest = self._manifest(place)
            if manifest is not None:
                tables += stored_rejected(self._opened, place, manifest)
        return pa.concat_tables(tables)

    def _places(self, dataset: str) -> Sequence[str]:
        """The directories of a dataset's tables."""
        try:
            found = [one.name for one in self._opened.list(folder_of(dataset))]
        except ChangedError:  # nothing was ever written there
            return ()
        return sorted(
            name.removesuffix(f"/{NAME}")
            for name in found
            if name.endswith(f"/{NAME}") and name.count("/") == 2
        )

    def close(self) -> None:
        """Release connections."""
        if self._store is not None:
            self._store.close()
            self._store = None

"""Places with files as the suites see them: ours through the connector, theirs another way in."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import obstore

from connectors.files.cloud import CloudStore
from connectors.files.config import FilesConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A connection's fields; ``directory`` is where a store on this machine keeps its files."""

    config: Mapping[str, Any]
    directory: Path | None = None

    def put(self, name: str, content: bytes) -> None:
        """Put an object there as another program would."""
        if self.directory is not None:
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            return
        config = FilesConfig.model_validate(self.config)
        obstore.put(CloudStore(config)._store, f"{config.root}/{name}", content)

    def objects(self) -> dict[str, bytes]:
        """Everything there is, by name."""
        if self.directory is not None:
            files = (path for path in self.directory.rglob("*") if path.is_file())
            return {str(path.relative_to(self.directory)): path.read_bytes() for path in files}
        config = FilesConfig.model_validate(self.config)
        store = CloudStore(config)._store
        listed = [meta["path"] for page in obstore.list(store, config.root) for meta in page]
        return {
            path.removeprefix(f"{config.root}/"): bytes(obstore.get(store, path).bytes())
            for path in listed
        }

    def remove(self, name: str) -> None:
        """Remove an object as another program would."""
        if self.directory is not None:
            (self.directory / name).unlink()
            return
        config = FilesConfig.model_validate(self.config)
        obstore.delete(CloudStore(config)._store, f"{config.root}/{name}")


def place_on(server: Mapping[str, Any]) -> Place:
    """A prefix of its own on a server."""
    fields = dict(server)
    directory = fields.pop("directory", None)
    prefix = f"t{uuid4().hex[:12]}"
    fields["url"] = f"{fields['url']}/{prefix}"
    if directory is None:
        return Place(config=fields)
    (directory / prefix).mkdir()
    return Place(config=fields, directory=directory / prefix)

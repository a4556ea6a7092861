"""Files as a destination keep the contract, in every kind of store and every written format."""

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from connectors import registry
from connectors.contract import Destination
from connectors.testing.destination_suite import DestinationContract
from connectors.testing.features import Feature
from tests.contract.places import Place, place_on
from tests.contract.written import records_in

pytest_plugins = ["tests.servers.fixtures"]


class FilesDestinationSystem:
    """What a manifest names, looked at without the connector."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def open(self) -> Destination:
        return registry.get("files").open_destination(self.place.config)

    def records(self, dataset: str, table: str) -> list[Mapping[str, Any]] | None:
        objects = self.place.objects()
        folder = f"{dataset}/{table}"
        if f"{folder}/_manifest.json" not in objects:
            return None
        manifest = json.loads(objects[f"{folder}/_manifest.json"])
        described = base64.b64decode(manifest["arrow_schema"])
        schema = pa.ipc.read_schema(pa.py_buffer(described))
        found: list[Mapping[str, Any]] = []
        for part in manifest["files"]:
            read = records_in(part["name"], objects[f"{folder}/{part['name']}"], schema)
            assert len(read) == part["rows"]
            empty = dict.fromkeys(manifest["columns"])
            found += [{**empty, **record} for record in read]
        return found

    def tables(self) -> list[str]:
        ending = "/_manifest.json"
        return sorted(
            name.removesuffix(ending) for name in self.place.objects() if name.endswith(ending)
        )

    def drop(self, dataset: str, table: str) -> None:
        self.place.remove(f"{dataset}/{table}/_manifest.json")


class FilesDestinationContract(DestinationContract):
    lacks: ClassVar = {Feature.ENDLESS_DECIMALS: "decimals of more than 38 digits are kept as text"}


class TestAFilesDestinationOnThisMachine(FilesDestinationContract):
    @pytest.fixture
    def system(self, tmp_path: Path) -> FilesDestinationSystem:
        place = Place(config={"url": tmp_path.as_uri()}, directory=tmp_path)
        return FilesDestinationSystem(place)


# Where objects are and how they are written do not meet, so each format has a store.
STORES: Mapping[str, Mapping[str, str]] = {
    "s3_server": {"format": "jsonl", "compression": "zstd"},
    "gcs_server": {"format": "parquet"},
    "azure_server": {"format": "parquet"},
    "sftp_server": {"format": "csv", "compression": "gzip"},
}


@pytest.mark.parametrize("server", STORES)
class TestAFilesDestinationInEachStore(FilesDestinationContract):
    @pytest.fixture
    def system(self, request: pytest.FixtureRequest, server: str) -> FilesDestinationSystem:
        place = place_on(request.getfixturevalue(server))
        return FilesDestinationSystem(
            replace(place, config={**place.config, "writing": STORES[server]})
        )

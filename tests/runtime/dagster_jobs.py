"""Jobs of Dagster's that do next to nothing, and the storage that they are kept in."""

from pathlib import Path

from dagster import job, op

from sync_pipelines.runtime.storage import CatalogStorage

DAGSTER_YAML = Path(__file__).parents[2] / "dagster.yaml"


@op
def nothing() -> None:
    pass


@job
def trivial() -> None:
    nothing()


def dispose(*storages: CatalogStorage) -> None:
    for storage in storages:
        storage.close()

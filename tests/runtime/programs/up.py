"""Runs `up` in the home given, and says READY with where it answers."""

import json
import sys
from pathlib import Path

from sync_pipelines.runtime.errors import StartError
from sync_pipelines.runtime.up import Endpoints, run_up
from sync_pipelines.settings import Settings


def ready(endpoints: Endpoints) -> None:
    where = {"dagster": endpoints.dagster_url, "database": endpoints.database_url}
    print("READY", json.dumps(where), flush=True)


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    home, definitions, *once = sys.argv[1:]
    settings = Settings(home=Path(home))
    try:
        run_up(settings, on_ready=ready, once=bool(once), say=say, definitions=definitions)
    except StartError as error:
        sys.exit(str(error))

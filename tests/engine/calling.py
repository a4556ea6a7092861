"""One process that calls a provider as often as its connection's budget allows."""

import sys
from time import monotonic, time

from connectors.http.pace import Pacer
from connectors.surroundings import Rate
from sync_pipelines.catalog.secrets import SecretBox
from sync_pipelines.catalog.store import open_catalog
from sync_pipelines.catalog.syncs import find_connection
from sync_pipelines.clock import system_clock
from sync_pipelines.engine.surroundings import surroundings_of


def main(url: str, key: str, connection: str, calls: int, per_ms: int, seconds: float) -> None:
    from datetime import timedelta
    from time import sleep

    catalog = open_catalog(url, SecretBox((key,)))
    with catalog.begin() as db:
        found = find_connection(db, catalog.secrets, connection)
    pacer = Pacer(
        budget=surroundings_of(catalog, found).budget,
        rate=Rate(calls=calls, per=timedelta(milliseconds=per_ms)),
        now=system_clock,
        sleep=sleep,
        most=3,
    )
    until = monotonic() + seconds
    while monotonic() < until:
        pacer.turn("calls")
        sys.stdout.write(f"{time():.6f}\n")
    pacer.close()
    catalog.close()


if __name__ == "__main__":
    url, key, connection, calls, per_ms, seconds = sys.argv[1:]
    main(url, key, connection, int(calls), int(per_ms), float(seconds))

"""One process that calls a provider, several calls at a time, as its connection may."""

import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from connectors.http.call import Call
from connectors.http.client import HttpClient, Limits
from sync_pipelines.catalog.secrets import SecretBox
from sync_pipelines.catalog.store import open_catalog
from sync_pipelines.catalog.syncs import find_connection
from sync_pipelines.engine.surroundings import surroundings_of


def main(url: str, key: str, connection: str, api: str, together: int, calls: int) -> None:
    with closing(open_catalog(url, SecretBox((key,)))) as catalog:
        with catalog.begin() as db:
            found = find_connection(db, catalog.secrets, connection)
        client = HttpClient(
            base_url=api,
            limits=Limits(concurrency=4, together=together),
            budget=surroundings_of(catalog, found).budget,
            allow_private=True,
        )
        with closing(client), ThreadPoolExecutor(4) as threads:
            for answer in threads.map(client.send, [Call(path="/orders")] * calls):
                assert answer.status == 200


if __name__ == "__main__":
    url, key, connection, api, together, calls = sys.argv[1:]
    main(url, key, connection, api, int(together), int(calls))

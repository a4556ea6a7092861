"""What a long read of a REST list keeps in mind of the records that have come."""

import tracemalloc
from collections.abc import Sequence
from random import Random

import pyarrow as pa

from connectors import registry
from connectors.contract import Batch, Encoding, Selection, SyncMode
from connectors.rest.met import Met
from connectors.testing.fake_api import FakeApi, Reply
from connectors.testing.rows import row
from tests.connectors.rest_systems import PAGES, RestSystem, config, orders


def test_a_mark_is_new_once_however_many_there_are():
    random, met, known = Random(7), Met(), set()

    for _ in range(200):
        marks = [random.choice((1, -1)) * random.randrange(9_000) for _ in range(100)]
        marks += [2**63 - 1, -(2**63)]
        fresh = []
        for mark in marks:
            fresh.append(mark not in known)
            known.add(mark)

        assert met.first_time(marks) == fresh
    assert met.first_time([]) == []


def test_a_hundred_thousand_marks_take_little_memory():
    Met().first_time([1])  # numpy is there
    met, random = Met(), Random(7)
    tracemalloc.start()

    for _ in range(400):
        met.first_time([random.getrandbits(63) for _ in range(250)])

    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 1_000_000


def _ids(batches: Sequence[Batch]) -> list[int]:
    found: list[int] = []
    for batch in batches:
        assert isinstance(batch.data, pa.Table)
        found += batch.data.column("id").to_pylist()
    return found


def test_a_full_read_tells_keys_apart_that_python_hashes_alike():
    """To Python, -1 and -2 have the same hash."""
    with FakeApi() as api:
        system = RestSystem(api, orders(pages=PAGES["number"]))
        system.put([row(number, seconds=number) for number in (-1, -2, 0, 1)])
        source = system.open()
        selection = Selection(stream=source.stream("orders"), mode=SyncMode.FULL)

        batches = list(source.read(selection, None, Encoding.ARROW))

        source.close()
    assert sorted(_ids(batches)) == [-2, -1, 0, 1]


def test_a_key_inside_the_record_is_known_again_too():
    """A list that repeats its records, with the key where its column's path leads."""
    columns = {"id": {"kind": "integer", "path": "about.id"}}
    stream = orders(pages={"kind": "number", "size": 2}, columns=columns)
    with FakeApi() as api:
        pages = {"1": (1, 2), "2": (2, 3)}
        api.route("GET", "/orders", lambda request: _page(pages.get(request.params["page"], ())))
        source = registry.get("rest_api").open_source(config(api.url, stream))
        selection = Selection(stream=source.stream("orders"), mode=SyncMode.FULL)

        batches = list(source.read(selection, None, Encoding.ARROW))

        source.close()
    assert _ids(batches) == [1, 2, 3]


def _page(ids):
    return Reply.json({"data": [{"about": {"id": one}} for one in ids]})

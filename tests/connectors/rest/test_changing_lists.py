"""Lists that change while they are read: no record is lost, and no state moves too far."""

from functools import partial

import pytest

from connectors.contract import Encoding, Selection, SyncMode
from connectors.errors import ConfigError, TransientError
from connectors.testing.fake_api import first
from connectors.testing.rows import row
from tests.connectors.rest.reading import ids, read
from tests.connectors.rest_systems import ORDERED, PAGES, UNORDERED, RestSystem, changed, orders


@pytest.mark.parametrize("mode", list(SyncMode))
@pytest.mark.parametrize("pages", ["number", "number, counted", "offset, counted"])
def test_a_record_that_slips_to_a_page_already_read_is_not_lost(api, pages, mode, opened):
    """A change moves a record to the end, and what followed it one place forward."""
    system = RestSystem(api, orders(pages=PAGES[pages], incremental=ORDERED))
    system.put([row(number, seconds=number) for number in range(8)])
    source = opened(*system.streams)
    source.stream("orders")
    api.at(2, first(lambda: system.put([row(0, seconds=99)])))

    batches = read(source, mode=mode)

    assert set(ids(batches)) == set(range(8))


def test_a_list_of_no_order_that_changes_is_read_again(api, opened):
    system = RestSystem(api, orders(pages=PAGES["number"], incremental=UNORDERED))
    system.put([row(number, seconds=number) for number in range(8)])
    api.at(3, first(lambda: system.orders.remove(0)))
    source = opened(*system.streams)

    batches = read(source)

    assert set(ids(batches)) >= set(range(1, 8))
    assert batches[-1].state.watermark.startswith("2024-03-01T12:00:07")


def test_a_list_that_never_comes_to_rest_moves_no_state(api, opened):
    system = RestSystem(api, orders(pages=PAGES["number"], incremental=UNORDERED))
    system.put([row(number, seconds=number) for number in range(40)])
    api.at(1, *[first(partial(system.orders.remove, number)) for number in range(39)])
    source = opened(*system.streams)

    selection = Selection(stream=source.stream("orders"), mode=SyncMode.INCREMENTAL, batch_rows=2)
    states = []

    with pytest.raises(TransientError, match="changed while its pages were read"):
        for batch in source.read(selection, None, Encoding.ARROW):
            states.append(batch.state)

    assert len(states) > 1
    assert not any(states)


def test_a_full_read_of_a_list_that_was_read_again_brings_each_record_once(api, opened):
    system = RestSystem(api, orders(pages=PAGES["number"]))
    system.put([row(number, seconds=number) for number in range(8)])
    api.at(3, first(lambda: system.orders.remove(0)))
    source = opened(*system.streams)

    found = ids(read(source, mode=SyncMode.FULL))

    assert sorted(found) == list(range(8))


def test_a_whole_page_of_one_cursor_value_does_not_stop_the_reading(api, opened):
    """Equal timestamps, more of them than a page holds."""
    system = RestSystem(api, orders(pages=PAGES["number"], incremental=ORDERED))
    system.put([row(number, seconds=number // 7) for number in range(20)])
    source = opened(*system.streams)

    assert sorted(ids(read(source))) == list(range(20))


def test_a_list_that_is_not_in_the_order_it_promised_is_refused(api, opened):
    promised = changed(ordered=True)
    system = RestSystem(api, orders(pages=PAGES["cursor"], incremental=promised))
    system.put([row(number, seconds=10 - number) for number in range(4)])
    source = opened(*system.streams)

    with pytest.raises(ConfigError, match="ordered: false"):
        read(source)


def test_the_watermark_does_not_pass_the_time_at_which_the_read_began(api, opened):
    """A change on a page that was read already must not hide behind a later one."""
    system = RestSystem(api, orders(pages=PAGES["cursor"], incremental=UNORDERED))
    system.put([row(1), row(2, seconds=1), row(3, seconds=2)])
    api.clock = lambda: row(0, seconds=5).changed_at
    api.at(2, first(lambda: system.put([row(1, seconds=20), row(9, seconds=30)])))
    source = opened(*system.streams)
    state = read(source)[-1].state

    again = read(source, state=state)

    assert state.watermark < "2024-03-01T12:00:06"
    assert {1, 9} <= set(ids(again))

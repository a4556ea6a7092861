"""Pages: the way from one to the next, and where it must not lead."""

import pytest

from connectors.contract import SyncMode
from connectors.errors import ConfigError, TransientError
from connectors.rest.pages import next_link
from connectors.testing.fake_api import Reply, damaged, same_cursor
from connectors.testing.rows import row
from tests.connectors.rest.reading import ids, read
from tests.connectors.rest_systems import PAGES, RestSystem, orders, record


def test_a_repeated_cursor_ends_in_an_error_and_not_in_a_circle(api, opened):
    system = RestSystem(api, orders(pages=PAGES["cursor"]))
    system.put([row(number) for number in range(8)])
    api.at(2, same_cursor)
    source = opened(*system.streams)

    with pytest.raises(TransientError, match="leads back to a page"):
        read(source, mode=SyncMode.FULL)


def test_a_list_of_too_many_pages_is_refused(api, opened):
    system = RestSystem(api, orders(pages=PAGES["cursor"]))
    system.put([row(number) for number in range(8)])
    source = opened(orders(pages=PAGES["cursor"]), max_pages=3)

    with pytest.raises(ConfigError, match="max_pages"):
        read(source, mode=SyncMode.FULL)


def test_a_next_link_to_another_origin_is_not_followed(api, opened):
    evil = 'http://evil.example/x>; rel="next"'
    api.route(
        "GET",
        "/orders",
        lambda request: Reply.json({"data": [record(row(1))]}, headers={"Link": f"<{evil}"}),
    )
    source = opened(orders(pages=PAGES["link"]))

    with pytest.raises(ConfigError, match="one origin"):
        read(source, mode=SyncMode.FULL)


def test_a_page_that_breaks_off_is_asked_for_again(api, opened):
    system = RestSystem(api, orders(pages=PAGES["number, counted"]))
    system.put([row(number) for number in range(8)])
    api.at(2, damaged)
    source = opened(*system.streams)

    assert ids(read(source, mode=SyncMode.FULL)) == list(range(8))


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('<https://x/a?p=2>; rel="next"', "https://x/a?p=2"),
        ('<https://x/a?p=1,2>; rel="prev", <https://x/b>; rel="next last"', "https://x/b"),
        ("<https://x/c>; title=x; rel=next", "https://x/c"),
        ('<https://x/c>; rel="nextish"', None),
        ("", None),
    ],
)
def test_the_next_link_is_found(header, found):
    """RFC 8288."""
    assert next_link(header) == found

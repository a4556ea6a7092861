"""Tokens of a company: renewed in time, each refresh token used once, and never shown."""

from contextlib import closing
from threading import Barrier, Thread

import pytest

from connectors import registry
from connectors.errors import AuthError, ConfigError
from connectors.http.bearer import MemoryTokens
from connectors.providers.quickbooks.source import QuickBooksSource
from connectors.testing.fake_api import unauthorized
from tests.connectors.quickbooks.reading import opened
from tests.providers.intuit import SECRET
from tests.providers.quickbooks import QuickBooks
from tests.world import FakeClock


def test_tokens_are_renewed_when_they_end_and_each_refresh_token_is_used_once(
    company: QuickBooks, clock: FakeClock, tokens: MemoryTokens, source: QuickBooksSource
) -> None:
    source.check()
    clock.advance(minutes=61)
    company.api.at(2, unauthorized)

    source.check()

    assert company.granted == 3
    assert tokens.load().refresh_token in company.refresh
    assert len(company.refresh) == 1


def test_two_sources_of_one_connection_refresh_once(
    company: QuickBooks, clock: FakeClock, tokens: MemoryTokens
) -> None:
    sources = [opened(company, clock, tokens) for _ in range(2)]
    barrier = Barrier(2)

    def check(source) -> None:
        barrier.wait()
        source.check()
        source.close()

    threads = [Thread(target=check, args=(source,)) for source in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert company.granted == 1


def test_a_grant_that_is_over_asks_to_authorize_again(
    company: QuickBooks, source: QuickBooksSource
) -> None:
    company.refresh.clear()

    with pytest.raises(AuthError, match="authorize the connection again"):
        source.check()


def test_the_company_comes_with_the_authorization(
    company: QuickBooks, clock: FakeClock, tokens: MemoryTokens
) -> None:
    with (
        closing(opened(company, clock, tokens, realm_id=None)) as source,
        pytest.raises(ConfigError, match="connections authorize"),
    ):
        source.check()


def test_the_connector_is_known_and_hides_its_secrets(company: QuickBooks) -> None:
    connector = registry.get("quickbooks")

    parsed = connector.parse(company.config(ledger="postgresql://u:hunter2@h/books"))

    assert connector.roles == ("source", "destination")
    assert not any(secret in repr(parsed) for secret in ("hunter2", SECRET, "refresh-0"))
    with pytest.raises(ConfigError, match="ledger"):
        connector.parse(company.config(ledger="nonsense"))

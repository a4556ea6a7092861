"""The connector ``quickbooks``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.contract import Destination, Source
from connectors.providers.quickbooks.config import QuickBooksConfig
from connectors.registry import Connector

if TYPE_CHECKING:
    from connectors.http.oauth import App

AT_ONCE = 2
"""QuickBooks takes 10 calls at a time, and an execution makes 4."""


def _source(config: QuickBooksConfig) -> Source:
    from connectors.providers.quickbooks.source import open_source

    return open_source(config)


def _destination(config: QuickBooksConfig) -> Destination:
    from connectors.providers.quickbooks.destination import open_destination

    return open_destination(config)


def _oauth(config: QuickBooksConfig) -> App:
    from connectors.providers.quickbooks.company import app_of

    return app_of(config)


def _place(config: QuickBooksConfig) -> str:
    return f"{config.origin}/v3/company/{config.realm_id or config.client_id}"


CONNECTOR = Connector(
    name="quickbooks",
    title="QuickBooks Online",
    config=QuickBooksConfig,
    source=_source,
    destination=_destination,
    most_at_once=lambda config: AT_ONCE,
    place=_place,
    oauth=_oauth,
)

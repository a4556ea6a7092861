"""Webhooks that a provider has switched off: found by its API, and switched on again.

Laws:

* Only what leads to the path that is asked for is looked at.
* What a person has paused stays paused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from connectors.contract import Source
from connectors.errors import ContractError

if TYPE_CHECKING:
    from connectors.http.client import HttpClient

PAGE = 100
"""The most that a shop gives at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchedOff:
    """A webhook that is off; ``id`` is the provider's, ``topic`` what it tells of."""

    id: str
    topic: str


class Revival(Protocol):
    """How one provider is asked. ``source`` is a connection to it, with its credentials.

    Both raise what `connectors.errors` has: `AuthError` where the credentials do not allow it.
    """

    def off(self, source: Source, path: str) -> Sequence[SwitchedOff]:
        """Those that are off and lead to a URL that ends in ``path``."""
        ...

    def revive(self, source: Source, one: SwitchedOff) -> None:
        """Switch one on; once that returns, the provider says that it is on."""
        ...


class InShops:
    """WooCommerce disables a webhook after more than five deliveries in a row that failed.

    Source: ``WC_Webhook::failed_delivery``. It goes on counting where it stood: of one that
    was switched on again, the first delivery that fails switches it off.
    """

    def off(self, source: Source, path: str) -> Sequence[SwitchedOff]:
        """See `Revival.off`."""
        from connectors.http.call import Call

        found, number = [], 1
        while True:
            asked = Call(path="webhooks").with_params(
                status="disabled", per_page=PAGE, page=number, orderby="id", order="asc"
            )
            page = _client(source).send(asked).json()
            found += [
                SwitchedOff(id=str(one["id"]), topic=str(one["topic"]))
                for one in page
                if urlsplit(one["delivery_url"]).path.endswith(path)
            ]
            if len(page) < PAGE:
                return found
            number += 1

    def revive(self, source: Source, one: SwitchedOff) -> None:
        """See `Revival.revive`."""
        from connectors.http.call import Call

        asked = Call(path=f"webhooks/{one.id}", method="PUT").with_json({"status": "active"})
        said = _client(source).send(asked).json()
        if said.get("status") != "active":
            raise ContractError(f"the shop took the change, but says {said.get('status')!r}")


def _client(source: Source) -> HttpClient:
    from connectors.rest.source import RestSource

    if not isinstance(source, RestSource):
        raise ContractError(f"{type(source).__name__} speaks to no API")
    return source.client


REVIVALS: Mapping[str, Revival] = MappingProxyType({"woocommerce": InShops()})
"""By scheme, which is the name of the connector, too. Other providers have no such API."""

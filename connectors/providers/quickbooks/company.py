"""One company of QuickBooks, and the calls that are made to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connectors.errors import ConfigError, ContractError
from connectors.http.call import Call
from connectors.http.client import HttpClient, Limits
from connectors.http.oauth import App
from connectors.providers.quickbooks.config import QuickBooksConfig
from connectors.providers.quickbooks.faults import WINDOW, judge
from connectors.providers.quickbooks.streams import quoted, streams
from connectors.rest.auth import OAuth2
from connectors.rest.records import Record, find
from connectors.rest.spec import Api, StreamSpec
from connectors.surroundings import Rate, Surroundings

SCOPE = "com.intuit.quickbooks.accounting"
LIMITS = Limits(rate=Rate(calls=500, per=WINDOW), concurrency=4, together=10)
"""500 a minute and 10 at a time, over all executions of a connection."""


def app_of(config: QuickBooksConfig) -> App:
    """What is registered with Intuit."""
    return App(
        token_url=config.token_url,
        authorize_url=config.authorize_url,
        client_id=config.client_id,
        client_secret=config.client_secret.get_secret_value(),
        scopes=(SCOPE,),
        kept=("realmId",),
        allow_private=config.allow_private_addresses,
    )


def realm_of(config: QuickBooksConfig, surroundings: Surroundings) -> str:
    """The company's number: configured, or as it came with the authorization."""
    if config.realm_id is not None:
        return config.realm_id
    tokens = surroundings.tokens.load() if surroundings.tokens else None
    realm = tokens.extra.get("realmId") if tokens else None
    if not realm or not realm.isdigit():
        raise ConfigError(
            "realm_id is missing: run `sync-pipelines connections authorize TENANT/NAME`, "
            "or set it to the company's number"
        )
    return realm


def api_of(
    config: QuickBooksConfig,
    surroundings: Surroundings,
    specs: tuple[StreamSpec, ...] | None = None,
) -> Api:
    """The company as a REST source has it."""
    refresh = config.refresh_token
    realm = realm_of(config, surroundings)
    return Api(
        title="QuickBooks",
        base_url=f"{config.origin}/v3/company/{realm}",
        streams=specs or streams(config.minor_version),
        auth=OAuth2(
            app=app_of(config),
            refresh_token=None if refresh is None else refresh.get_secret_value(),
        ),
        limits=LIMITS,
        check=f"companyinfo/{realm}?minorversion={config.minor_version}",
        judge=judge,
        allow_private=config.allow_private_addresses,
    )


class Company:
    """Queries and writes objects; safe to use from several threads."""

    def __init__(self, client: HttpClient, minor_version: int) -> None:
        self.client = client
        self._minor = minor_version

    def find(self, entity: str, field: str, values: Sequence[str]) -> Sequence[Record]:
        """The objects whose field has one of these values, inactive ones too."""
        if not values:
            return ()
        among = ", ".join(quoted(value) for value in dict.fromkeys(values))
        active = " AND Active IN (true, false)" if entity in ("Customer", "Item") else ""
        query = f"SELECT * FROM {entity} WHERE {field} IN ({among}){active} MAXRESULTS 1000"
        body = self.client.get("query", query=query, minorversion=self._minor).json()
        return find(body, f"QueryResponse.{entity}") or ()

    def read(self, entity: str, identity: str) -> Record:
        """One object as it is now; `FaultError` if there is none."""
        return self._object(Call(path=f"{entity.lower()}/{identity}"), entity)

    def write(
        self,
        entity: str,
        body: Mapping[str, Any],
        *,
        request_id: str,
        params: Mapping[str, str] | None = None,
    ) -> Record:
        """Create or change an object; the same ``request_id`` does it once, however often asked."""
        call = Call(path=entity.lower(), method="POST").put(
            {**(params or {}), "requestid": request_id}
        )
        return self._object(call.with_json(body), entity)

    def _object(self, call: Call, entity: str) -> Record:
        body = self.client.send(call.with_params(minorversion=self._minor)).json()
        found = body.get(entity) if isinstance(body, Mapping) else None
        if not isinstance(found, Mapping) or "Id" not in found:
            raise ContractError(f"QuickBooks answered a call for a {entity} with something else")
        return found

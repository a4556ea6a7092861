"""A person lets a connection in at its provider; what was granted is kept for every run.

::

    Asked ──▶ its page at the provider ──▶ back with a code ──▶ granted()

Laws:

* A code is sent once. What came for it is kept in one transaction, with its line in the
  audit, under the lock of whoever refreshes.
* Who dies between the two has nothing: the person is asked again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy.exc import IntegrityError

from connectors import registry
from connectors.errors import AuthError, ConfigError
from connectors.http.oauth import App, Pkce, TokenEndpoint, authorization_url
from sync_pipelines.catalog import audit, tokens_of_connections
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.syncs import find_tenant_id
from sync_pipelines.model.sync import Connection

LONGEST = 1000
"""Characters of a value that comes back beside the code: a realm, a shop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person is asked: by which app, and where they are led back to.

    ``state`` comes back with the code; the repr shows neither it nor the verifier.
    """

    app: App
    redirect_uri: str
    state: str = field(repr=False)
    pkce: Pkce = field(repr=False)

    @property
    def page(self) -> str:
        """Where the person consents."""
        return authorization_url(
            self.app, redirect_uri=self.redirect_uri, state=self.state, pkce=self.pkce
        )


def app_of(connection: Connection) -> App:
    """What is registered with the provider; `ConfigError` where nobody is asked."""
    connector = registry.get(connection.connector)
    app = None if connector.oauth is None else connector.oauth(connector.parse(connection.config))
    if app is None:
        raise ConfigError(
            f"connection {connection.tenant}/{connection.name} ({connector.name}) is not "
            "authorized by a person; its credentials are in its configuration"
        )
    return replace(app, allow_private=app.allow_private and connection.reaches_private)


def code_in(answer: Mapping[str, str]) -> str:
    """The code that a provider sent somebody back with; `AuthError` if they said no."""
    if "error" in answer:
        said = answer.get("error_description") or answer["error"]
        raise AuthError(f"the provider did not authorize it: {said[:200]}")
    code = answer.get("code")
    if not code:
        raise AuthError("the provider sent nobody back with a code; start it again")
    return code


def granted(
    catalog: Catalog,
    connection: Connection,
    asked: Asked,
    answer: Mapping[str, str],
    *,
    actor: str,
    at: datetime,
) -> None:
    """Take what was granted for the code of an answer, whose state was ours, and keep it.

    `AuthError` or `TransientError` if there is nothing: another code is needed then.
    """
    code, kept = code_in(answer), asked.app.kept
    tokens = TokenEndpoint(app=asked.app).exchange(
        code,
        redirect_uri=asked.redirect_uri,
        pkce=asked.pkce,
        extra={name: answer[name][:LONGEST] for name in kept if name in answer},
    )
    try:
        with catalog.begin() as db:
            tenant_id = find_tenant_id(db, connection.tenant)
            tokens_of_connections.lock(db, connection.id)
            tokens_of_connections.put(
                db, catalog.secrets, connection.id, tokens, tenant_id=tenant_id
            )
            audit.record(
                db,
                at=at,
                actor=actor,
                action="connection.authorized",
                subject=f"{connection.tenant}/{connection.name}",
                tenant_id=tenant_id,
            )
    except IntegrityError as error:
        raise ConfigError(
            f"connection {connection.tenant}/{connection.name} was removed meanwhile"
        ) from error

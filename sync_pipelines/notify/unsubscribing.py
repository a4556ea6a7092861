"""The link by which somebody says that it is enough, whether they can sign in or not.

Law: its token is encrypted, so that nobody makes one up for another. It names a rule and
an address, and can do nothing but this.
"""

from datetime import datetime
from urllib.parse import urlencode
from uuid import UUID

from connectors.errors import ConfigError
from sync_pipelines.catalog.notifications import unsubscribe_for_all_tenants
from sync_pipelines.catalog.secrets import KeyMissingError, SecretBox
from sync_pipelines.catalog.store import Catalog


def unsubscribe_url(secrets: SecretBox, base_url: str, rule_id: UUID, recipient: str) -> str:
    """The link of one recipient of one rule."""
    token = secrets.seal({"unsubscribe": str(rule_id), "recipient": recipient})
    return f"{base_url}/unsubscribe?{urlencode({'token': token})}"


def unsubscribe(catalog: Catalog, token: str, *, now: datetime) -> str:
    """Send no more mail by a rule to whom the token names; the address.

    `ConfigError` if the token is not one of ours, or the rule is gone.
    """
    rule_id, recipient = named_by(catalog.secrets, token)
    with catalog.begin() as db:
        if not unsubscribe_for_all_tenants(db, rule_id, recipient, now=now):
            raise ConfigError("there is nothing to unsubscribe from: the rule is gone")
    return recipient


def named_by(secrets: SecretBox, token: str) -> tuple[UUID, str]:
    """The rule and the address that a token names; `ConfigError` if it is not one of ours."""
    try:
        said = secrets.open(token)
    except KeyMissingError as error:
        raise ConfigError("this link to unsubscribe is not one of ours, or too old") from error
    rule, recipient = said.get("unsubscribe"), said.get("recipient")
    if not isinstance(rule, str) or not isinstance(recipient, str):
        raise ConfigError("this is no link to unsubscribe")
    return UUID(rule), recipient

"""Checks where messages may be sent to, before a rule is stored.

Law: a webhook's host is resolved and looked at when its rule is stored, and again at each
delivery, where the address that was looked at is the one connected to: a name that leads
elsewhere later helps nobody to reach into this network.
"""

from base64 import b64encode
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from urllib.parse import urlsplit

import apprise
import httpcore

from connectors.addresses import is_refused
from connectors.errors import ConfigError
from connectors.http.addresses import Resolve, system_resolve
from sync_pipelines.catalog.users import read_email
from sync_pipelines.model.endpoint import Secret
from sync_pipelines.model.notification import Channel, Rule
from sync_pipelines.timing.zones import find_zone

OVERLAP = timedelta(days=1)
"""So long an old signing secret signs beside a new one."""

SECRET_BYTES = 24


def check_rule(
    rule: Rule, *, allow_private: bool = False, resolve: Resolve = system_resolve
) -> Rule:
    """The rule as it may be stored; `ConfigError` names what is wrong with it.

    ``allow_private`` lets webhooks reach into this network.
    """
    zones = [rule.digest.timezone, *([rule.quiet.timezone] if rule.quiet else [])]
    for zone in zones:
        find_zone(zone)
    match rule.channel:
        case Channel.EMAIL | Channel.IN_APP:
            return replace(rule, recipients=tuple(dict.fromkeys(map(read_email, rule.recipients))))
        case Channel.WEBHOOK:
            shown = check_webhook(rule.target, allow_private=allow_private, resolve=resolve)
            return replace(rule, shown=shown)
        case Channel.APPRISE:
            shown = check_apprise(rule.target, allow_private=allow_private)
            return replace(rule, shown=shown)


def check_webhook(
    url: str, *, allow_private: bool = False, resolve: Resolve = system_resolve
) -> str:
    """What may be shown of a webhook's URL: its scheme and host. `ConfigError` if it is none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"the webhook's URL cannot be read: {error}") from error
    if parts.scheme not in ("https", "http") or not host:
        raise ConfigError("a webhook's URL looks like https://example.com/hooks/sync")
    if parts.username or parts.password:
        raise ConfigError("leave user and password out of the URL; messages are signed instead")
    try:
        addresses = resolve(host, port or (443 if parts.scheme == "https" else 80))
    except httpcore.ConnectError as error:
        raise ConfigError(f"the webhook's host {host!r} cannot be resolved") from error
    for address in addresses:
        if is_refused(address, allow_private=allow_private):
            raise ConfigError(
                f"the webhook's host {host!r} leads to {address}, an address inside this "
                "network; name one that can be reached from outside"
            )
    is_inside = all(is_refused(address, allow_private=False) for address in addresses)
    if parts.scheme == "http" and not is_inside:
        raise ConfigError("a webhook's URL must begin with https://: what it is sent is private")
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}"


def check_apprise(url: str, *, allow_private: bool = False) -> str:
    """What may be shown of an Apprise URL: the service. `ConfigError` if there is none such.

    Only services that are reached at their own maker's address: Apprise connects to
    whatever host the others name, and cannot be told not to. Those that one runs oneself
    only where messages may reach into this network.
    """
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    if scheme == "msteams":
        raise ConfigError("Teams no longer takes msteams://; make a workflow, and use workflows://")
    known = HOSTED | SELF_HOSTED if allow_private else HOSTED
    if scheme not in known:
        raise ConfigError(
            f"messages are not sent to {scheme or 'this'}://; there are: "
            f"{', '.join(sorted(known))}; for anything else use a webhook"
        )
    host = rest.partition("/")[0].partition(":")[0].lower()
    if scheme == "workflows" and not host.endswith(MICROSOFT):
        raise ConfigError(f"{host!r} is no address of Microsoft Teams' workflows")
    if not apprise.Apprise().add(url):
        raise ConfigError(
            f"this {scheme}:// URL is incomplete; see https://github.com/caronc/apprise/wiki"
        )
    return f"{scheme}://…"


HOSTED = frozenset(
    {
        "discord",
        "gchat",
        "opsgenie",
        "pagerduty",
        "pagertree",
        "pover",
        "slack",
        "tgram",
        "victorops",
        "webex",
        "workflows",
    }
)

SELF_HOSTED = frozenset(
    {
        "gotify",
        "gotifys",
        "json",
        "jsons",
        "mmost",
        "mmosts",
        "ntfy",
        "ntfys",
        "rocket",
        "rockets",
    }
)

MICROSOFT = (".logic.azure.com", ".powerplatform.com")


def new_signing_secret(rng: Random) -> Secret:
    """A fresh secret as Standard Webhooks spells it."""
    return Secret(value=f"whsec_{b64encode(rng.randbytes(SECRET_BYTES)).decode()}")


def rotated(rule: Rule, fresh: Secret, *, now: datetime, overlap: timedelta = OVERLAP) -> Rule:
    """The rule with a fresh secret; those before sign beside it for a while."""
    until = now + overlap
    kept = [
        replace(one, until=min(one.until or until, until))
        for one in rule.signing
        if one.until is None or one.until > now
    ]
    return replace(rule, signing=(fresh, *kept))

"""The table of schemes, and one of them with a tenant's options."""

import re
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from types import MappingProxyType

from pydantic import TypeAdapter, ValidationError

from connectors.errors import ConfigError
from connectors.webhooks.cloudevents import CloudEvents
from connectors.webhooks.contract import Scheme
from connectors.webhooks.generic import Signature, Token
from connectors.webhooks.google import GoogleChannel
from connectors.webhooks.graph import MicrosoftGraph
from connectors.webhooks.quickbooks import QuickBooks
from connectors.webhooks.standard import StandardWebhooks
from connectors.webhooks.stripe import Stripe
from connectors.webhooks.supabase import Supabase
from connectors.webhooks.woocommerce import WooCommerce

SCHEMES: Mapping[str, type[Scheme]] = MappingProxyType(
    {
        "cloudevents": CloudEvents,
        "google": GoogleChannel,
        "hmac": Signature,
        "microsoft-graph": MicrosoftGraph,
        "quickbooks": QuickBooks,
        "standard-webhooks": StandardWebhooks,
        "stripe": Stripe,
        "supabase": Supabase,
        "token": Token,
        "woocommerce": WooCommerce,
    }
)

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")  # RFC 9110, 5.6.2


def scheme_of(name: str, options: Mapping[str, object]) -> Scheme:
    """A scheme with its options; `ConfigError` names what is unknown or wrong."""
    kind = SCHEMES.get(name)
    if kind is None:
        near = get_close_matches(name, SCHEMES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(SCHEMES)}"
        raise ConfigError(f"no webhook scheme {name!r}; {hint}")
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for option, value in options.items():
        if option not in known:
            takes = f"takes: {', '.join(known)}" if known else "takes no options"
            raise ConfigError(f"scheme {name} has no option {option!r}; it {takes}")
        if option.endswith("header") and not _HEADER.fullmatch(str(value)):
            raise ConfigError(f"{option} {value!r} is not the name of an HTTP header")
    try:
        return TypeAdapter(kind).validate_python(dict(options))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "options"
        raise ConfigError(f"{where} of scheme {name}: {first['msg']}") from None

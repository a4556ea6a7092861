"""Which parts of a connector's configuration are secret.

Law: what is not known to be harmless is taken for a secret.
"""

from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from connectors.contract import Json


def is_secret(annotation: Any) -> bool:
    """Whether a field of this type holds a secret anywhere within it."""
    kind = get_origin(annotation) or annotation
    if isinstance(kind, type):
        if issubclass(kind, SecretStr | SecretBytes | Secret):
            return True
        if issubclass(kind, BaseModel):
            return any(is_secret(inner.annotation) for inner in kind.model_fields.values())
    return any(is_secret(inner) for inner in get_args(annotation))


def harmless_keys(config: type[BaseModel]) -> frozenset[str]:
    """The keys of a configuration that may be kept and shown in plain text."""
    return frozenset(_harmless(config))


def _harmless(config: type[BaseModel]) -> Iterator[str]:
    for name, field in config.model_fields.items():
        if not is_secret(field.annotation):
            yield name
            yield from (
                key for key in (field.alias, field.validation_alias) if isinstance(key, str)
            )


def split_config(
    config: type[BaseModel], values: Mapping[str, Any]
) -> tuple[Mapping[str, Json], Mapping[str, Json]]:
    """A connection's configuration in two: what may be shown, and what may not."""
    harmless = harmless_keys(config)
    shown = {key: value for key, value in values.items() if key in harmless}
    return shown, {key: value for key, value in values.items() if key not in harmless}

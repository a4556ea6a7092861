"""What a token may be limited to: resources of the API, each whole or only to read.

``executions`` lets at everything of executions that the token's role allows,
``executions:read`` only at looking. A token without scopes is limited by its role alone.
"""

from collections.abc import Iterable, Sequence

from connectors.errors import ConfigError

RESOURCES = (
    "alert-thresholds",
    "audit",
    "conflicts",
    "connections",
    "connectors",
    "dead-letters",
    "digests",
    "events",
    "executions",
    "incidents",
    "metrics",
    "notification-deliveries",
    "notification-preferences",
    "notification-rules",
    "notifications",
    "reports",
    "sync-schedules",
    "syncs",
    "tenants",
    "tokens",
    "users",
    "webhooks",
)

READ = ":read"

ELSEWHERE = {"sync": "sync-schedules", "workspaces": "sync-schedules"}
"""The first part of the older paths ``/api/sync`` and ``/api/workspaces``."""


def parse_scopes(written: Iterable[str]) -> tuple[str, ...]:
    """Scopes in order, each once; `ConfigError` names one that there is not."""
    found = sorted(set(written))
    for scope in found:
        if scope.removesuffix(READ) not in RESOURCES:
            raise ConfigError(
                f"there is no scope {scope!r}; write one of {', '.join(RESOURCES)}, "
                f"or one with {READ!r} after it, such as 'executions{READ}'"
            )
    return tuple(found)


def permits(scopes: Sequence[str], resource: str | None, *, is_read: bool) -> bool:
    """Whether these scopes let at a resource; None is what belongs to no resource."""
    if not scopes:
        return True
    return resource in scopes or (is_read and f"{resource}{READ}" in scopes)


def within(wanted: Sequence[str], own: Sequence[str]) -> bool:
    """Whether who is limited to ``own`` may give ``wanted`` away: nothing beyond them."""
    if not own:
        return True
    return bool(wanted) and all(
        permits(own, one.removesuffix(READ), is_read=one.endswith(READ)) for one in wanted
    )


def resource_of(path: str) -> str | None:
    """The resource that a path of the API is about."""
    match path.split("/"):
        case ["", "api", "v2", str(resource), *_]:
            return resource
        case ["", "metrics"]:
            return "metrics"
        case ["", "api", str(older), *_]:
            return ELSEWHERE.get(older)
    return None

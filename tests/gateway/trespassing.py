"""Every route of the API, the least role it needs, a body that it takes, and how to ask for it."""

import re
from uuid import uuid4

from fastapi.routing import APIRoute

from sync_pipelines.gateway.app import ROUTERS
from sync_pipelines.model.roles import Role

VIEWER, OPERATOR, ADMIN = Role
DAILY = {"type": "daily", "at": "02:00"}

LOOKED_AT = {
    "GET /api/v2/audit": ADMIN,
    "GET /api/v2/tokens": ADMIN,
    "GET /api/v2/connections/{connection_id}/discover": OPERATOR,
    "POST /api/v2/sync-schedules/preview": VIEWER,
    "POST /api/v2/webhooks/{name}/enable": ADMIN,
    "POST /api/v2/webhooks/{name}/disable": ADMIN,
    "PUT /api/v2/notification-preferences": VIEWER,
    "POST /api/v2/notifications/read": VIEWER,
    **{
        f"POST /api/v2/notifications/{{message_id}}/{verb}": VIEWER
        for verb in ("read", "acknowledge", "snooze", "resolve")
    },
}
"""What the usual rules are wrong about."""

OPERATED = re.compile(
    r"/(trigger|pause|resume|cancel|retry|redrive|discard|check|toggle|enable|disable|run"
    r"|test|acknowledge|snooze|resolve|redeliver)$"
)

NOT_OF_A_TENANT = ("/api/docs", "/api/v2/session", "/api/v2/me", "/api/v2/tenants")

IDS = {
    "schedule_id": "schedule",
    "job_id": "schedule",
    "sync_id": "sync",
    "connection_id": "connection",
    "execution_id": "execution",
    "letter_id": "letter",
    "token_id": "token",
    "rule_id": "rule",
    "message_id": "message",
    "incident_id": "incident",
    "delivery_id": "delivery",
}


def routes():
    found: list[str] = []
    for router in ROUTERS:
        for route in router.routes:
            if not isinstance(route, APIRoute) or not route.path.startswith("/api/"):
                continue
            if not route.path.startswith(NOT_OF_A_TENANT):
                found += [f"{method} {route.path}" for method in sorted(route.methods)]
    return sorted(found)


def needed(route):
    """The least role for a route, by the rules that the guide tells people."""
    method, path = route.split(" ")
    if route in LOOKED_AT:
        return LOOKED_AT[route]
    if method == "GET":
        return VIEWER
    return OPERATOR if OPERATED.search(path) else ADMIN


def asked(client, route, ids, headers, *, workspace="acme", body=None):
    method, path = route.split(" ")
    path = path.replace("{workspace_id}", workspace).replace("{name}", "database")
    for parameter, kind in IDS.items():
        path = path.replace(f"{{{parameter}}}", str(ids.get(kind, uuid4())))
    assert "{" not in path, f"this test does not know the parameters of {route}"
    params = {"at": "2026-03-04T02:00:00Z"} if path.endswith("/explain") else {}
    json = body if body is not None or method in ("GET", "DELETE") else bodies(route)
    return client.request(method, path, headers=headers, params=params, json=json)


def bodies(route):
    """A body that the route takes, so that what is refused is refused for who asks."""
    sync = {"source": "orders-source", "destination": "orders-destination", "streams": ["o"]}
    schedule = {"cadence": {"type": "hourly"}}
    ends = {"dataSourceId": str(uuid4()), "destinationDatabaseId": str(uuid4())}
    older = {"credential_id": str(uuid4()), "platform": "database", "entity_type": "orders"}
    letters = {"ids": [str(uuid4())]}
    rule = {"channel": "email", "recipients": ["ana@example.com"]}
    until = {"until": "2030-01-01T00:00:00Z"}
    known = {
        "POST /api/v2/sync-schedules": {**schedule, "sync": "orders", "name": "n"},
        "POST /api/v2/sync-schedules/preview": schedule,
        "PUT /api/v2/sync-schedules/{schedule_id}": schedule,
        "POST /api/v2/syncs": {**sync, "name": "n"},
        "PUT /api/v2/syncs/{sync_id}": sync,
        "POST /api/v2/connections": {"name": "n", "connector": "database"},
        "POST /api/v2/dead-letters/redrive": letters,
        "POST /api/v2/dead-letters/discard": letters,
        "POST /api/v2/tokens": {"name": "n"},
        "POST /api/v2/webhooks": {"name": "n", "scheme": "woocommerce"},
        "POST /api/v2/notification-rules": {"name": "n", **rule},
        "PUT /api/v2/notification-rules/{rule_id}": rule,
        "POST /api/v2/notifications/{message_id}/snooze": until,
        "POST /api/v2/incidents/{incident_id}/snooze": until,
        "POST /api/sync/schedules": {**older, "cron_expression": "0 * * * *"},
        "POST /api/workspaces/{workspace_id}/sync-jobs": {
            **ends,
            "name": "n",
            "schedule": {"cron": "0 * * * *"},
        },
    }
    return known.get(route, {})

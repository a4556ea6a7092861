"""The application: every router in its place, and what happens to every request."""

from importlib.metadata import version

from fastapi import Depends, FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.middleware import Middleware

from sync_pipelines.gateway import (
    dagster,
    health,
    metrics,
    oidc,
    pages,
    progress,
    reference,
    session,
    sync_page,
    unsubscribing,
)
from sync_pipelines.gateway.api import (
    audit,
    authorizing,
    conflicts,
    connections,
    connectors,
    dead_letters,
    digests,
    discovering,
    executions,
    foreseeing,
    incidents,
    me,
    notification_deliveries,
    notification_preferences,
    notification_rules,
    notification_thresholds,
    notifications,
    older,
    reports,
    schedules,
    sync_jobs,
    syncs,
    tenants,
    tokens,
    webhooks,
)
from sync_pipelines.gateway.api.openapi import describe, operation_id
from sync_pipelines.gateway.doors import Doors
from sync_pipelines.gateway.limits import limits_from
from sync_pipelines.gateway.oidc_provider import Provider
from sync_pipelines.gateway.parameters import known_parameters
from sync_pipelines.gateway.problems import install_problems
from sync_pipelines.gateway.requests import Bounded, Logged
from sync_pipelines.gateway.webhooks.router import Incoming
from sync_pipelines.gateway.webhooks.router import router as incoming

ROUTERS = (
    health.router,
    metrics.router,
    session.router,
    pages.router,
    unsubscribing.router,
    sync_page.router,
    oidc.router,
    reference.router,
    me.router,
    tokens.router,
    tenants.router,
    audit.router,
    progress.router,
    dagster.router,
    schedules.router,
    foreseeing.router,
    syncs.router,
    connections.router,
    authorizing.router,
    discovering.router,
    executions.router,
    connectors.router,
    dead_letters.router,
    conflicts.router,
    reports.router,
    older.router,
    sync_jobs.router,
    webhooks.router,
    notification_rules.router,
    notifications.router,
    incidents.router,
    notification_deliveries.router,
    notification_preferences.router,
    notification_thresholds.router,
    digests.router,
    incoming,
)


NO_SPANS_BUT_OURS: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}
"""FastAPI's own have the address of each request, and messages of errors: both hold secrets."""


def create_app(doors: Doors) -> FastAPI:
    """The gateway, with everything from outside that it needs."""
    meter = metrics.Meter(doors)
    app = FastAPI(
        title="Sync Pipelines",
        version=version("sync-pipelines"),
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        generate_unique_id_function=operation_id,
        telemetry=NO_SPANS_BUT_OURS,
        middleware=[
            Middleware(Incoming, doors=doors, meter=meter),
            Middleware(Logged, rng=doors.rng),
            Middleware(metrics.Counted, meter=meter),
            Middleware(Bounded, most=doors.settings.body_limit_bytes),
        ],
    )
    app.state.doors = doors
    app.state.meter, app.state.probes = meter, health.Probes()
    has_provider = doors.settings.oidc_issuer is not None
    app.state.oidc = Provider(doors.settings) if has_provider else None
    app.state.limits = limits_from(doors.settings, doors.clock)
    install_problems(app, problem_page=pages.problem_page)
    for router in ROUTERS:
        app.include_router(router, dependencies=[Depends(known_parameters)])
    describe(app)
    return app

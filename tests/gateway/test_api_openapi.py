"""The OpenAPI document says what the gateway does: read, and tried out by Schemathesis."""

import os
from contextlib import suppress
from dataclasses import replace
from unittest import SkipTest
from uuid import UUID, uuid4

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi import checks
from sqlalchemy import select

from sync_pipelines.catalog.notifications import put_rule
from sync_pipelines.catalog.tables import IncidentRow, OutboxRow
from sync_pipelines.gateway.app import create_app
from sync_pipelines.model.notification import Channel, Rule
from sync_pipelines.model.roles import Role
from sync_pipelines.settings import Settings
from tests.engine.settling import run
from tests.gateway.people import token
from tests.gateway.served import served

EXAMPLES = int(os.environ.get("SYNC_API_EXAMPLES", "2"))
"""So many requests an operation; more where somebody has the time."""

CHECKED = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]

FILLED = {
    "schedule_id": "schedule",
    "job_id": "schedule",
    "sync_id": "sync",
    "connection_id": "connection",
    "execution_id": "execution",
    "rule_id": "rule",
    "incident_id": "incident",
    "delivery_id": "delivery",
}


@pytest.fixture
def settings_():
    return Settings(
        token_requests_per_second=10_000,
        tenant_requests_per_second=10_000,
        manual_triggers_per_hour=100_000,
    )


@pytest.fixture
def document(client):
    return client.get("/api/openapi.json").json()


def operations(document):
    return [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/api/")
    ]


def test_every_operation_has_a_name_of_its_own_and_says_how_it_fails(document):
    ids = [operation["operationId"] for _, operation in operations(document)]

    assert len(ids) == len(set(ids))
    assert {"sync_schedules_list", "sync_schedules_trigger", "syncs_create"} <= set(ids)
    for name, operation in operations(document):
        for status in ("400", "401", "403", "404", "409", "412", "413", "422", "429", "503"):
            content = operation["responses"][status]["content"]
            assert list(content) == ["application/problem+json"], name


def test_every_body_has_an_example_or_a_schema_of_its_fields(document):
    schemas = document["components"]["schemas"]
    for name in (
        "ScheduleWanted",
        "SyncWanted",
        "ConnectionWanted",
        "CreateScheduleRequest",
        "RuleWanted",
        "SnoozeWanted",
        "PreferencesPut",
        "ThresholdsPut",
    ):
        assert schemas[name]["examples"], name
    assert "HTTPValidationError" not in schemas


@pytest.fixture
def running(doors, world, settings_):
    """A gateway that listens, a tenant with one of everything, and what calls it."""
    sync = world.sync("acme/orders")
    ids: dict[str, UUID] = {
        "schedule": world.schedule(sync, {"type": "daily"}),
        "sync": sync.id,
        "connection": sync.source.id,
    }
    rule = Rule(
        id=uuid4(),
        tenant_id=sync.tenant_id,
        name="team",
        channel=Channel.EMAIL,
        recipients=("ana@example.com",),
    )
    with world.catalog.begin() as db:
        ids["rule"] = put_rule(db, world.catalog.secrets, rule, now=world.clock())
    run(world, sync)
    with world.catalog.begin() as db:
        ids["incident"] = db.execute(select(IncidentRow.id)).scalar_one()
        ids["delivery"] = db.execute(select(OutboxRow.id)).scalar_one()
    app = create_app(replace(doors, settings=settings_))
    app.openapi()  # made before anybody waits for it
    with served(app) as url:
        yield url, ids, token(world, "acme", Role.ADMIN)


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_whatever_is_sent_is_answered_as_the_document_says(running, mode):
    """No 5xx and no violation of the schema, on every operation, whether it fits or not."""
    url, ids, headers = running
    schema = schemathesis.openapi.from_url(f"{url}/api/openapi.json")
    tried, failures = 0, list[str]()

    for found in schema.get_all_operations():
        operation = found.ok()  # type: ignore[union-attr]
        if operation.path.startswith("/api/") and "/session" not in operation.path:
            tried += 1
            failures += _tried(operation, mode, ids, f"{url}", headers)

    assert tried > 50
    assert failures == []


def _tried(operation, mode, ids, url, headers):
    """What was answered otherwise than the document says."""
    failures: list[str] = []
    path = {name: str(ids[kind]) for name, kind in FILLED.items() if kind in ids}
    named = [name for name in path if f"{{{name}}}" in operation.path]
    known = {name: path[name] for name in named}
    if "{workspace_id}" in operation.path:
        known["workspace_id"] = "acme"

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def attempt(case):
        # Whoever is meant by another tenant's name is told 404 elsewhere, and all the time.
        case.headers = {k: v for k, v in case.headers.items() if k.lower() != "x-tenant"}
        if operation.method.upper() != "DELETE":
            case.path_parameters = {**case.path_parameters, **known}
        try:
            case.call_and_validate(base_url=url, headers=headers, checks=CHECKED)
        except FailureGroup as group:
            failures.extend(f"{operation.label}: {one}" for one in group.exceptions)

    with suppress(Unsatisfiable, SkipTest):  # nothing can be said that does not fit
        attempt()
    return failures

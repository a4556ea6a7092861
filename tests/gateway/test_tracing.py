"""Spans, as a real collector hears them; and that nothing is there where nobody wants them."""

import json
import subprocess
import sys
from random import Random

import dagster as dg
import psycopg
import pytest
import structlog
from dagster._core.definitions.partitions.context import partition_loading_context
from structlog.testing import LogCapture, capture_logs

from sync_pipelines import tracing
from sync_pipelines.definitions import defs
from sync_pipelines.defs import resources
from sync_pipelines.engine.run import Engine
from sync_pipelines.gateway.webhooks import intake
from sync_pipelines.logs import configure_logging
from sync_pipelines.model.sync import SyncStream
from sync_pipelines.runtime.waiting import wait_until
from sync_pipelines.settings import Settings
from tests.gateway.hooks import endpoint, order, signed
from tests.gateway.people import token

pytest.importorskip("opentelemetry.sdk.trace", reason="needs sync-pipelines[otel]")

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.gateway.collector import collecting

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def collector():
    """A collector that this process's spans go to."""
    with collecting() as collector:
        tracing.configure_tracing(collector.url, process="test")
        yield collector
        tracing.stop_tracing()


@pytest.fixture
def sync(world, empty_postgres_url):
    """A table of three orders, and a sync that brings them to another schema."""
    with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE orders AS SELECT n AS id FROM generate_series(1, 3) n")
    ends = {"url": empty_postgres_url}
    stream = SyncStream(name="orders")
    return world.sync("acme/orders", streams=[stream], source=ends, destination=ends)


@pytest.fixture
def run(world, monkeypatch):
    """Lets the sensor hand over what waits, and Dagster run it, all in this process."""
    engine = Engine(catalog=world.catalog, clock=world.clock, rng=Random(1))
    monkeypatch.setattr(resources, "_engine", lambda: engine)

    def run():
        with (
            dg.instance_for_test() as instance,
            partition_loading_context(dynamic_partitions_store=instance),
        ):
            context = dg.build_sensor_context(
                instance=instance,
                repository_def=defs.get_repository_def(),
                resources={"engine": resources.EngineResource()},
            )
            sensor = defs.resolve_sensor_def("dispatch_events")
            (asked,) = sensor.evaluate_tick(context).run_requests
            return defs.resolve_job_def("sync_database").execute_in_process(
                instance=instance,
                partition_key=asked.partition_key,
                tags=asked.tags,
                raise_on_error=False,
            )

    return run


def trigger(client, world, sync, **headers):
    answer = client.post(
        f"/api/v2/syncs/{sync.id}/trigger", headers={**token(world, "acme"), **headers}
    )
    return answer.json()["execution_id"]


def test_a_request_and_the_run_that_it_starts_are_one_trace(client, world, sync, run, collector):
    """From the caller's own span to each read and write."""
    execution_id = trigger(client, world, sync, traceparent=CALLER)
    run()
    tracing.flush()

    _, trace_id, caller_id, _ = CALLER.split("-")
    request = collector.named("POST /api/v2/syncs/{sync_id}/trigger")
    execution, stream = collector.named("execution"), collector.named("stream")
    parts = [one for one in collector.spans if one.name.startswith("stream.")]
    assert set(collector.paths) == {"/v1/traces"}
    assert {one.trace_id for one in (request, execution, stream, *parts)} == {trace_id}
    assert [one.parent_id for one in (request, execution, stream)] == [
        caller_id,
        request.span_id,
        execution.span_id,
    ]
    assert {one.name for one in parts} == {"stream.read", "stream.write", "stream.commit"}
    assert {one.parent_id for one in parts} == {stream.span_id}
    assert [one.is_request for one in (request, execution, stream)] == [True, False, False]
    assert request.process == "sync-pipelines test"
    assert request.values["tenant"] == "acme"
    assert request.values["status"] == 202
    assert execution.values["execution"] == execution_id
    assert execution.values["status"] == "completed"
    assert stream.values["records"] == 3


@pytest.mark.parametrize("taker", ["gateway", "sensor"])
def test_a_webhook_and_the_run_that_it_starts_are_one_trace(
    client, world, sync, run, collector, launched, monkeypatch, taker
):
    """R40: whoever takes its event up, at once or when the gateway could not."""
    if taker == "sensor":
        monkeypatch.setattr(intake, "take_up", lambda *_: [])
    world.schedule(sync, {"type": "realtime"})
    hook = endpoint(world, connection="orders-source")
    headers = {**signed(order()), "traceparent": CALLER}
    client.post(f"/webhooks/{hook.key}", content=order(), headers=headers)
    if taker == "gateway":
        assert wait_until(lambda: bool(launched), seconds=10, every=0.01)
    run()
    tracing.flush()

    _, trace_id, caller_id, _ = CALLER.split("-")
    chain = ["POST /webhooks/{key}", "event", "execution", "stream", "stream.commit"]
    request, event, execution, *_ = found = [collector.named(name) for name in chain]
    assert {one.trace_id for one in found} == {trace_id}
    assert [one.parent_id for one in found] == [
        caller_id, *(one.span_id for one in found[:-1])
    ]  # fmt: skip
    assert request.values["status"] == 200
    assert event.values["execution"] == execution.values["execution"]
    assert execution.values["status"] == "completed"


def test_of_what_went_wrong_a_span_has_the_kind_and_no_message(
    client, world, sync, run, collector, empty_postgres_url
):
    """Messages hold addresses, and addresses secrets."""
    with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
        connection.execute("DROP TABLE orders")
    trigger(client, world, sync)
    client.get("/webhooks/a-key-that-nobody-may-see?token=hunter2")
    run()
    tracing.flush()

    told = b"".join(collector.bodies)
    assert collector.named("execution").values["status"] == "failed"
    assert not any(secret in told for secret in (b"a-key-that", b"hunter2", b"postgresql://"))


def test_an_error_that_ends_a_span_is_told_by_its_kind(collector):
    with pytest.raises(LookupError), tracing.span("asked"):
        raise LookupError("postgresql://ana:hunter2@db")
    tracing.flush()

    assert collector.named("asked").error == "LookupError"
    assert b"hunter2" not in b"".join(collector.bodies)


def test_a_line_of_the_log_names_the_span_that_it_was_written_in(client, collector, capsys):
    configure_logging("json")
    try:
        client.get("/health/live", headers={"traceparent": CALLER})
    finally:
        structlog.reset_defaults()
    tracing.flush()

    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    span = collector.named("GET /health/live")
    assert (line["trace_id"], line["span_id"]) == (span.trace_id, span.span_id)


@pytest.mark.parametrize("parent", ["", "nonsense", f"{CALLER}\u00fc", "00-0-0-00"])
def test_a_parent_that_cannot_be_read_is_none(client, collector, parent):
    answer = client.get("/health/live", headers={"traceparent": parent.encode()})
    tracing.flush()

    assert answer.status_code == 200
    assert collector.named("GET /health/live").parent_id == ""


def test_a_collector_that_is_away_holds_up_nothing(client, world):
    """It loses spans; requests are answered."""
    with collecting() as gone:
        address = gone.url
    tracing.configure_tracing(address, process="test")
    try:
        assert client.get("/health/live").status_code == 200
        tracing.flush()
    finally:
        tracing.stop_tracing()


def test_without_opentelemetry_nothing_is_recorded_and_the_log_says_what_helps(monkeypatch):
    monkeypatch.setitem(sys.modules, "sync_pipelines.tracing.exporting", None)

    with capture_logs() as lines:
        tracing.configure_tracing("http://127.0.0.1:1", process="test")

    assert [line["event"] for line in lines] == ["tracing.not_installed"]
    assert "sync-pipelines[otel]" in lines[0]["remedy"]
    assert tracing.carried() == tracing.ids() == {}


def test_libraries_that_trace_by_themselves_say_nothing_of_the_gateway(client, monkeypatch):
    """Their spans have the addresses of requests, where a provider is there for all."""
    heard = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(heard))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)

    client.get("/webhooks/a-key-that-nobody-may-see")

    assert heard.get_finished_spans() == ()


def test_either_setting_says_where_spans_go(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://standard:4318")
    standard = Settings().otel_endpoint
    monkeypatch.setenv("SYNC_OTEL_ENDPOINT", "http://ours:4318")

    assert (standard, Settings().otel_endpoint) == ("http://standard:4318", "http://ours:4318")


OFF = """
import sys, threading
import sync_pipelines.definitions, sync_pipelines.gateway.app
from sync_pipelines.tracing import import_exporter, span
with span("nothing"):
    pass
loaded = [name for name in sys.modules if name.startswith("opentelemetry.")]
assert not any("sdk" in name or "exporter" in name for name in loaded), loaded
import_exporter("http://127.0.0.1:1")
assert "opentelemetry.sdk.trace" in sys.modules
assert threading.active_count() == 1, threading.enumerate()
assert "grpc" not in sys.modules
"""


def test_nothing_is_imported_where_nobody_wants_spans_and_a_host_that_imports_stays_whole():
    """What it forks would be torn by a second thread, or by grpc."""
    done = subprocess.run([sys.executable, "-c", OFF], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


def test_every_line_of_a_run_names_its_execution_and_tenant(client, world, sync, run):
    """R125: also those of connectors, which know neither."""
    execution_id = trigger(client, world, sync)
    heard = LogCapture()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, heard])
    try:
        run()
    finally:
        structlog.reset_defaults()

    lines = [line for line in heard.entries if line["event"] != "dispatch.turn"]
    assert [line["event"] for line in lines].count("execution.settled") == 1
    assert {(line["execution"], line["tenant"]) for line in lines} == {(execution_id, "acme")}

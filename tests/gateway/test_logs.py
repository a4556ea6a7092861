"""What the log holds: R125."""

import json
import subprocess
import sys
from uuid import uuid4

import structlog
from structlog.testing import capture_logs

from sync_pipelines.engine.prefetch import read_ahead
from sync_pipelines.runtime.console import Console
from tests.gateway.people import token

LIBRARY = """
import logging
from sync_pipelines.logs import configure_library_logs, configure_logging
configure_logging("json")
configure_library_logs("json")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("uvicorn.error").exception("it\\nbroke")
logging.getLogger("uvicorn.error").info("not told")
"""


def test_the_line_of_a_request_names_the_execution_that_it_is_about(client, world):
    execution_id = uuid4()
    with capture_logs() as lines:
        client.get(f"/api/v2/executions/{execution_id}/events", headers=token(world))
        client.get("/api/v2/executions/a%0Aforged/events", headers=token(world))

    told = [line["execution"] for line in lines if line["event"] == "http.request"]
    assert told == [str(execution_id), None]


def test_what_a_library_logs_is_one_line_of_json_too():
    done = subprocess.run(
        [sys.executable, "-c", LIBRARY], capture_output=True, text=True, check=True
    )

    (line,) = done.stderr.splitlines()
    told = json.loads(line)
    assert (told["event"], told["level"], told["logger"]) == (
        "it\nbroke",
        "error",
        "uvicorn.error",
    )
    assert "ZeroDivisionError" in told["exception"]


def test_the_console_keeps_quiet_of_every_attempt_and_tells_of_failures():
    shown = Console()

    assert shown("2026-11-21T10:00:00Z [info ] execution.settled sync=acme/orders") is None
    assert shown('{"event": "execution.settled", "sync": "acme/orders"}') is None
    assert shown("2026-11-21T10:00:00Z [warning ] execution.settled_by_another execution=7")
    assert shown("2026-11-21T10:00:00Z [warning ] stream.failed sync=acme/orders")


def test_a_thread_that_reads_ahead_logs_for_the_execution_that_reads():
    """A connector's own lines have the ids of the execution too."""

    def items():
        yield structlog.contextvars.get_contextvars()

    with (
        structlog.contextvars.bound_contextvars(execution="e-1", tenant="acme"),
        read_ahead(items(), size=len) as found,
    ):
        bound = list(found)

    assert bound == [{"execution": "e-1", "tenant": "acme"}]

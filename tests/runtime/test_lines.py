"""Lines of a log as JSON: R125."""

import json
from datetime import UTC, datetime

from sync_pipelines.runtime.lines import written_as
from tests.world import FakeClock

FAILED = (
    "\x1b[32m2026-11-21 11:00:00 +0100\x1b[0m - dagster.daemon.SensorDaemon - "
    "\x1b[34mERROR\x1b[0m - Sensor daemon caught an error"
)


def test_lines_of_every_kind_become_an_object_each():
    ours = '{"event": "execution.settled", "status": "completed"}'
    written = written_as("json", "daemon", FakeClock())

    told = [json.loads(written(line)) for line in (FAILED, ours, "a print", "{not so", "", "[1]")]

    assert told[0] == {
        "event": "Sensor daemon caught an error",
        "level": "error",
        "logger": "dagster.daemon.SensorDaemon",
        "process": "daemon",
        "timestamp": "2026-11-21T10:00:00+00:00",
    }
    assert told[1] == json.loads(ours)
    assert [one["event"] for one in told[2:]] == ["a print", "{not so", "", "[1]"]


def test_what_follows_a_message_at_once_belongs_to_it_and_what_comes_later_does_not():
    clock = FakeClock()
    written = written_as("json", "daemon", clock)

    _, cause, after_ours = (json.loads(written(line)) for line in (FAILED, "  File x", "{}"))
    written(FAILED)
    clock.advance(seconds=1)
    later = json.loads(written("Killed"))

    assert (cause["level"], cause["timestamp"]) == ("error", "2026-11-21T10:00:00+00:00")
    assert after_ours == {}
    assert "level" not in later
    assert datetime.fromisoformat(later["timestamp"]) == clock().astimezone(UTC)


def test_otherwise_lines_stay_as_they_are():
    assert written_as("console", "daemon", FakeClock())(FAILED) == FAILED

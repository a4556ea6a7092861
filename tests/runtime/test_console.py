import pytest

from sync_pipelines.runtime.console import Console

RUN = "5c0d2f7e-05b1-4938-8528-ea7d87540752"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            "\x1b[32m2013-07-01 04:05:00 +0000\x1b[0m - dagster.daemon.SchedulerDaemon - "
            f"\x1b[34mINFO\x1b[0m - Completed scheduled launch of run {RUN} for hourly",
            f"04:05:00 Completed scheduled launch of run {RUN} for hourly",
        ),
        (
            "2013-07-01 04:05:00 +0000 - dagster.daemon.SchedulerDaemon - INFO - "
            "Evaluating schedule `hourly` at 2013-07-01 04:05:00 +0000",
            None,
        ),
        (
            "2013-07-01 04:05:00 +0000 - dagster.daemon.SensorDaemon - ERROR - no code server",
            "04:05:00 ERROR: no code server",
        ),
        (
            f"2013-07-01 04:05:01 +0000 - dagster - DEBUG - sync_db - {RUN} - 12 - RUN_SUCCESS - "
            'Finished execution of run for "sync_db".',
            '04:05:01 run 5c0d2f7e: Finished execution of run for "sync_db".',
        ),
        (
            f"2013-07-01 04:05:01 +0000 - dagster - DEBUG - sync_db - {RUN} - 12 - STEP_START - x",
            None,
        ),
        ("execution.finished rows=12", "execution.finished rows=12"),
    ],
)
def test_a_person_sees_what_came_of_it_and_what_went_wrong(line: str, shown: str | None):
    assert Console()(line) == shown


def test_a_traceback_is_shown_with_the_error_it_belongs_to():
    console = Console()
    lines = ["2013-07-01 04:05:00 +0000 - dagster.daemon - ERROR - failed", "  File x, line 1"]

    shown = [console(line) for line in lines]

    assert shown == ["04:05:00 ERROR: failed", "  File x, line 1"]


def test_the_details_of_a_hidden_line_are_hidden_too():
    console = Console()
    lines = ["2013-07-01 04:05:00 +0000 - dagster - DEBUG - step", "    details"]

    shown = [console(line) for line in lines]

    assert shown == [None, None]

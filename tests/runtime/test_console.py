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
        (
            f"2013-07-01 04:05:01 +0000 - dagster - INFO - sync_db - {RUN} - step - t: 7 read - ok",
            "04:05:01 run 5c0d2f7e: t: 7 read - ok",
        ),
        (
            "2013-07-01 04:05:00 +0000 - dagster.daemon.EventLogConsumerDaemon - WARNING - "
            "No cursor for event type RUN_FAILURE, ignoring older events",
            None,
        ),
        ("execution.finished rows=12", "execution.finished rows=12"),
        (
            "2013-07-01T04:05:01.918043Z [warning  ] stream.failed            sync=acme/orders",
            "04:05:01 WARNING: stream.failed sync=acme/orders",
        ),
        ("2013-07-01T04:05:01.918043Z [info     ] webhooks.came", "04:05:01 webhooks.came"),
        ("2013-07-01T04:05:01.918043Z [info     ] http.request  status=200", None),
    ],
)
def test_a_person_sees_what_came_of_it_and_what_went_wrong(line: str, shown: str | None):
    assert Console()(line) == shown


def test_of_an_error_with_a_stack_trace_only_the_error_is_shown():
    console = Console()
    failed = (
        f"2013-07-01 04:05:00 +0000 - dagster - ERROR - sync_db - {RUN} - 12 - RUN_FAILURE - no"
    )
    lines = [failed, "", "Stack Trace:", "  File x, line 1", "2013-07-01 04:05:01 [info] next"]

    shown = [console(line) for line in lines]

    assert shown == [
        "04:05:00 ERROR: run 5c0d2f7e: no",
        *[None] * 3,
        "2013-07-01 04:05:01 [info] next",
    ]


def test_what_a_program_says_before_it_can_log_is_shown():
    console = Console()
    lines = ["Traceback (most recent call last):", "  File x, line 1", "ImportError: no"]

    shown = [console(line) for line in lines]

    assert shown == lines

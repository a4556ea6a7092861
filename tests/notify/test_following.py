"""The loop that looks after what has ended outlives whatever goes wrong with one look."""

import pytest
from structlog.testing import capture_logs

from sync_pipelines.catalog import audit
from sync_pipelines.engine import following
from sync_pipelines.model.notification import Topic
from sync_pipelines.runtime.waiting import wait_until


@pytest.mark.parametrize("error", [TypeError("a bug of ours"), ConnectionError("gone")])
def test_an_error_of_one_look_is_said_once_and_the_next_looks_come(told, monkeypatch, error):
    rule = told.rule(topics=(Topic.FAILURE,))
    told.fail(followed=False)
    told.clock.advance(seconds=6)
    looks = []
    look_after_ended = following.look_after_ended

    def fail_at_first(*what):
        looks.append(what)
        if len(looks) <= 3:
            raise error
        return look_after_ended(*what)

    monkeypatch.setattr(following, "look_after_ended", fail_at_first)

    with capture_logs() as logs, following.following_up(told.catalog, told.clock, every_seconds=0):
        is_told = wait_until(lambda: told.topics(rule) == [Topic.FAILURE], seconds=20)
        is_over = wait_until(lambda: len(logs) > 1, seconds=20)

    assert is_told
    assert is_over
    assert [log["event"] for log in logs] == ["following_up.interrupted", "following_up.resumed"]
    assert logs[0]["error"] == repr(error)


def test_what_has_ended_comes_into_the_audit_meanwhile(told):
    told.fail()

    def actions():
        with told.catalog.begin() as db:
            return [one.action for one in audit.entries_for_all_tenants(db)]

    with following.following_up(told.catalog, told.clock, every_seconds=0):
        assert wait_until(lambda: actions()[:1] == ["execution.ended"], seconds=20)

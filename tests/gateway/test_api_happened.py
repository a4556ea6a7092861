"""`/api/v2/executions`, `dead-letters`, `conflicts` and `reports`: what happened."""

import csv
import io
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import insert, select

from sync_pipelines.catalog import reports
from sync_pipelines.catalog.tables import ExecutionRow, SummaryRow
from sync_pipelines.model.roles import Role
from sync_pipelines.settings import Settings
from tests.engine.settling import run
from tests.gateway.people import token

PATH = "/api/v2/executions"


@pytest.fixture
def api(client, world, acme):
    client.headers.update(token(world, "acme", Role.OPERATOR))
    return client


def executed(world, sync, *, status="completed", ago=timedelta(hours=1), **columns):
    at = world.clock() - ago
    values = {
        "tenant_id": sync.tenant_id,
        "sync_id": sync.id,
        "trigger": "manual",
        "status": status,
        "created_at": at,
        "started_at": at,
        "completed_at": at,
        "duration_ms": 1000,
        **columns,
    }
    with world.catalog.begin() as db:
        return db.execute(insert(ExecutionRow).values(**values).returning(ExecutionRow.id)).scalar()


def test_an_execution_is_told_with_what_it_moved(api, world, acme):
    """R107."""
    made = executed(world, acme, records_processed=7, records_created=3, bytes_moved=99)

    told = api.get(f"{PATH}/{made}").json()

    assert (told["status"], told["duration_ms"], told["sync"]) == ("completed", 1000, "orders")
    assert (told["records_processed"], told["records_created"], told["bytes_moved"]) == (7, 3, 99)


def test_executions_are_paged_newest_first_while_new_ones_come(api, world, acme):
    """R106."""
    old = [executed(world, acme, ago=timedelta(minutes=number)) for number in (5, 5, 5, 6)]

    first = api.get(PATH, params={"limit": 3}).json()
    executed(world, acme, ago=timedelta(0))
    second = api.get(PATH, params={"limit": 3, "cursor": first["next"]}).json()

    seen = [UUID(one["id"]) for one in first["items"] + second["items"]]
    assert seen[-1] == old[-1]
    assert sorted(seen) == sorted(old)


def test_executions_are_filtered(api, world, acme):
    failed = executed(world, acme, status="failed", ago=timedelta(days=2))
    executed(world, acme)

    def found(**params):
        return [one["id"] for one in api.get(PATH, params=params).json()["items"]]

    assert found(status="failed") == [str(failed)]
    assert found(until=(world.clock() - timedelta(days=1)).isoformat()) == [str(failed)]
    assert found(sync="units") == []
    assert len(found(trigger="manual")) == 2


def test_an_execution_that_waits_is_cancelled_once(api, world, acme):
    made = executed(world, acme, status="pending", completed_at=None, started_at=None)

    first, second = (api.post(f"{PATH}/{made}/cancel") for _ in range(2))

    assert (first.status_code, first.json()["status"]) == (202, "cancelled")
    assert first.json()["error_message"].startswith("cancelled by token:")
    assert second.status_code == 409


def test_a_failed_execution_is_retried_with_what_it_was_asked(api, world, acme, launched):
    """R39."""
    failed = executed(world, acme, status="failed", request={"full": True})

    answer = api.post(f"{PATH}/{failed}/retry")

    made = UUID(answer.json()["execution_id"])
    with world.catalog.begin() as db:
        row = db.execute(select(ExecutionRow.__table__).where(ExecutionRow.id == made)).one()
    assert (answer.status_code, row.trigger, row.request) == (202, "retry", {"full": True})
    assert launched == [made]


def test_a_retry_takes_the_dead_letter_with_it(api, world, acme):
    run(world, acme)
    (failed,) = api.get(PATH).json()["items"]
    (letter,) = api.get("/api/v2/dead-letters", params={"status": "open"}).json()["items"]

    answer = api.post(f"{PATH}/{failed['id']}/retry")

    told = api.get(f"/api/v2/dead-letters/{letter['id']}").json()
    assert letter["execution_id"] == failed["id"]
    assert (told["status"], told["redriven_as"]) == ("redriven", answer.json()["execution_id"])


@pytest.mark.parametrize("status", ["completed", "pending"])
def test_what_is_done_or_has_not_ended_is_not_retried(api, world, acme, status):
    made = executed(world, acme, status=status)

    assert api.post(f"{PATH}/{made}/retry").status_code == 409


def test_the_log_of_an_execution_says_what_happened_in_order(api, world, acme):
    run(world, acme)
    (failed,) = api.get(PATH).json()["items"]

    lines = api.get(f"{PATH}/{failed['id']}/logs").json()["items"]

    assert lines[0]["event"] == "execution.created"
    assert (lines[-1]["event"], lines[-1]["level"]) == ("execution.failed", "error")
    assert lines[-1]["message"] == failed["error_message"]


def test_dead_letters_are_redriven_once_however_often_it_is_asked(api, world, acme, launched):
    run(world, acme)
    (letter,) = api.get("/api/v2/dead-letters").json()["items"]
    url = f"/api/v2/dead-letters/{letter['id']}/redrive"

    first, second = api.post(url).json(), api.post(url).json()

    assert (len(first["executions"]), second["executions"]) == (1, [])
    assert launched == [UUID(first["executions"][0])]


def test_dead_letters_are_discarded(api, world, acme):
    run(world, acme)
    (letter,) = api.get("/api/v2/dead-letters").json()["items"]

    answer = api.post("/api/v2/dead-letters/discard", json={"ids": [letter["id"]]})

    assert answer.json() == {"letters": [letter["id"]]}


class TestManyTriggers:
    @pytest.fixture
    def settings(self):
        return Settings(manual_triggers_per_hour=2)

    def test_who_starts_too_much_by_hand_waits(self, api, world, acme):
        """R130."""
        answers = [api.post(f"/api/v2/syncs/{acme.id}/trigger") for _ in range(3)]

        assert [one.status_code for one in answers] == [202, 202, 429]
        assert int(answers[-1].headers["Retry-After"]) > 0

    def test_what_is_retried_by_hand_counts_too(self, api, world, acme):
        failed = [executed(world, acme, status="failed", ago=timedelta(days=1)) for _ in range(3)]

        answers = [api.post(f"{PATH}/{one}/retry") for one in failed]

        assert [one.status_code for one in answers] == [202, 202, 429]


def test_a_report_counts_what_came_of_a_span(api, world, acme):
    """R111: success rate, percentiles, records and resources, with what is summed up."""
    for number in range(1, 4):
        executed(world, acme, duration_ms=1000 * number, records_processed=10, bytes_moved=5)
    executed(world, acme, status="failed", duration_ms=None)
    executed(world, acme, status="cancelled", duration_ms=None)
    executed(world, acme, ago=timedelta(days=30))
    with world.catalog.begin() as db:
        counts = {f"records_{one}": 1 for one in ("created", "updated", "deleted", "rejected")}
        db.execute(
            insert(SummaryRow).values(
                sync_id=acme.id,
                tenant_id=acme.tenant_id,
                day=(world.clock() - timedelta(days=3)).date(),
                completed=10,
                partial=0,
                failed=0,
                cancelled=0,
                attempts=10,
                records_processed=100,
                bytes_moved=1000,
                duration_ms=5000,
                longest_ms=9000,
                **counts,
            )
        )

    report = api.get("/api/v2/reports").json()

    totals = report["totals"]
    assert (totals["executions"], totals["completed"], totals["failed"]) == (15, 13, 1)
    assert totals["success_rate"] == pytest.approx(13 / 14, abs=1e-6)
    assert (totals["duration_ms_p50"], totals["duration_ms_max"]) == (2000, 9000)
    assert (totals["records_processed"], totals["bytes_moved"]) == (130, 1015)
    assert [one["sync"] for one in report["syncs"]] == ["orders"]
    assert report["syncs"][0]["executions"] == 15
    assert report["from"] < report["to"]


def test_a_report_of_many_executions_says_that_its_percentiles_are_estimated(
    api, world, acme, monkeypatch
):
    """R111."""
    for number in range(1, 4):
        executed(world, acme, duration_ms=1000 * number)
    exact = api.get("/api/v2/reports").json()
    monkeypatch.setattr(reports, "MOST_EXACT", 2)

    estimated = api.get("/api/v2/reports").json()
    table = api.get("/api/v2/reports", params={"format": "csv"}).text.splitlines()

    assert (exact["percentiles_exact"], estimated["percentiles_exact"]) == (True, False)
    assert exact["totals"]["duration_ms_p50"] == 2000
    assert estimated["totals"]["duration_ms_p50"] == pytest.approx(2000, rel=0.2)
    assert estimated["totals"]["duration_ms_max"] == 3000
    assert estimated["syncs"][0]["completed"] == 3
    assert [line.rpartition(",")[2] for line in table] == ["percentiles_exact", "false", "false"]


def test_the_dashboard_tells_of_this_tenant_alone(api, world, acme):
    """R113, R127."""
    executed(world, acme, records_processed=7)
    executed(world, world.sync("rival/orders"), records_processed=100)
    executed(world, acme, status="queued", completed_at=None)

    told = api.get("/api/v2/reports/dashboard").json()

    assert (told["queued"], told["running"], len(told["days"])) == (1, 0, 7)
    assert (told["days"][-1]["completed"], told["days"][-1]["records_processed"]) == (1, 7)


def test_a_report_of_nothing_is_zeros(api):
    totals = api.get("/api/v2/reports").json()["totals"]

    assert (totals["executions"], totals["success_rate"], totals["duration_ms_p95"]) == (
        0,
        None,
        None,
    )


def test_a_report_is_written_for_spreadsheets_too(api, world, acme):
    executed(world, acme)

    answer = api.get("/api/v2/reports", params={"format": "csv"})

    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert answer.headers["content-type"].startswith("text/csv")
    assert [(row["sync"], row["completed"]) for row in rows] == [("", "1"), ("orders", "1")]


@pytest.mark.parametrize(
    "span",
    [
        {"from": "2026-03-02T00:00:00Z", "to": "2026-03-01T00:00:00Z"},
        {"from": "2020-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
        {"from": "2026-03-02T00:00:00"},
        {"from": "0001-01-01T00:00:00+14:00"},
    ],
)
def test_a_span_that_is_none_is_refused(api, span):
    assert api.get("/api/v2/reports", params=span).status_code == 422


def test_conflicts_are_told(api):
    assert api.get("/api/v2/conflicts").json() == {"items": []}

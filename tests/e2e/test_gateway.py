"""The gateway in front of everything: its traces, its logs, and Dagster's pages in a browser."""

import json
from urllib.parse import urlsplit

import httpx
import pytest

from sync_pipelines.runtime.waiting import wait_until
from tests.e2e.browser import CHROMIUM, browsing

pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(400),
    pytest.mark.xdist_group("installation"),
]

MANIFEST = """
tenant: gate
connections:
  shop: {connector: database, config: {url: "${env:SHOP_URL}"}}
  warehouse: {connector: database, config: {url: "${env:WAREHOUSE_URL}"}}
syncs:
  units:
    source: shop
    destination: warehouse
    dataset: gate
    streams: [public.units]
    schedules:
      live: {type: realtime}
"""

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

RELOAD = """
fetch('/dagster/graphql', {
  method: 'POST',
  headers: {'Content-Type': 'application/json'},
  body: JSON.stringify({query: 'mutation { reloadWorkspace { __typename } }'}),
}).then(answer => answer.json()).then(told => told.data.reloadWorkspace.__typename)
"""


@pytest.fixture(scope="module")
def units(installation):
    installation.sql(
        "shop", "CREATE TABLE units (id int PRIMARY KEY); INSERT INTO units VALUES (1), (2)"
    )
    installation.apply(MANIFEST)
    return installation


@pytest.fixture(scope="module")
def triggered(units):
    """An execution that the API has started within a caller's trace, and that has ended."""
    headers = {**token(units, "operator"), "traceparent": CALLER}
    syncs = httpx.get(f"{units.gateway_url}/api/v2/syncs", headers=headers).json()["items"]
    answer = httpx.post(
        f"{units.gateway_url}/api/v2/syncs/{syncs[0]['id']}/trigger", headers=headers
    )
    assert answer.status_code == 202, answer.text
    units.wait_for_status("gate/units", "completed")
    return answer.json()["execution_id"]


def token(installation, role):
    made = installation.json("tokens", "create", "gate", "--role", role)
    return {"Authorization": f"Bearer {made['token']}"}


def test_a_request_and_the_run_it_starts_are_one_trace_across_all_processes(units, triggered):
    """R125: the gateway's spans and the run's, sent by each process of its own."""
    _, trace_id, caller_id, _ = CALLER.split("-")

    def spans():
        return {one.name: one for one in units.collector.spans if one.trace_id == trace_id}

    wait_until(lambda: {"stream.commit", REQUEST} <= spans().keys(), seconds=30)

    found = spans()
    request, handed, execution = (found[one] for one in (REQUEST, "execution.hand_over", RUN))
    assert (request.parent_id, request.values["tenant"]) == (caller_id, "gate")
    assert handed.parent_id == execution.parent_id == request.span_id
    assert execution.values["execution"] == triggered
    assert execution.values["status"] == "completed"
    assert found["stream.commit"].parent_id == found["stream"].span_id


REQUEST, RUN = "POST /api/v2/syncs/{sync_id}/trigger", "execution"


def test_a_webhook_and_the_run_it_starts_are_one_trace_across_all_processes(units, triggered):
    """R40, R125: from what the provider sends to the commit of what it told of."""
    hook = units.json("webhooks", "create", "gate", "shop", "--scheme=token", "--connection=shop")
    trace_id, sender_id = "1" * 32, "2" * 16
    units.sql("shop", "INSERT INTO units VALUES (3)")

    answer = httpx.post(
        f"{units.gateway_url}{hook['path']}",
        json={"changed": "units"},
        headers={
            "X-Webhook-Token": hook["secret"],
            "traceparent": f"00-{trace_id}-{sender_id}-01",
        },
    )

    def spans():
        return {one.name: one for one in units.collector.spans if one.trace_id == trace_id}

    assert answer.status_code == 200
    assert wait_until(lambda: len(CHAIN & spans().keys()) == len(CHAIN), seconds=30), spans()
    found = spans()
    request, event = found["POST /webhooks/{key}"], found["event"]
    handed, execution = found["execution.hand_over"], found["execution"]
    assert (request.parent_id, event.parent_id) == (sender_id, request.span_id)
    assert handed.parent_id == execution.parent_id == event.span_id
    assert found["stream.commit"].parent_id == found["stream"].span_id
    assert found["stream"].parent_id == execution.span_id
    assert execution.values["execution"] == event.values["execution"]
    assert units.sql("warehouse", "SELECT count(*) FROM gate.units") == [(3,)]


CHAIN = {
    *("POST /webhooks/{key}", "event", "execution.hand_over"),
    *("execution", "stream", "stream.commit"),
}


def test_every_line_in_the_logs_of_up_is_an_object_of_json(units, triggered):
    """R125: `SYNC_LOG_FORMAT=json`, whoever has written it."""
    logs = {path.stem: path.read_text().splitlines() for path in units.home.glob("logs/*.log")}

    lines = [json.loads(line) for log in logs.values() for line in log]
    assert {"code", "daemon", "gateway", "runs", "web"} <= logs.keys()
    assert {type(line) for line in lines} == {dict}
    assert all("event" in line for line in lines)


@pytest.fixture(scope="module")
def page(units):
    """The browser of whoever runs the installation."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with browsing() as page:
        page.cookie("sync_session", first_admin(units), url=units.gateway_url)
        yield page


def test_dagsters_pages_work_in_a_browser_behind_the_gateway(units, triggered, page):
    """They load whole, follow a run live by a socket, and may change something."""
    run_id = units.history("gate/units")[0]["run_id"]

    page.open(f"{units.gateway_url}/dagster/assets")
    assert page.waits_for("document.body.innerText.includes('database / tables')")
    page.open(f"{units.gateway_url}/dagster/runs/{run_id}")
    assert page.waits_for("document.body.innerText.includes('RUN_SUCCESS')")
    reloaded = page.says(RELOAD)

    assert reloaded == "Workspace"
    assert any("pipelineRunLogs" in frame for frame in page.frames)
    assert (page.complaints, page.refused) == ([], [])


def test_a_run_that_is_started_by_clicks_in_dagsters_pages_moves_data(units, triggered, page):
    """R38: Materialize, as somebody does it who knows Dagster and comes by the gateway."""
    before = {one["run_id"] for one in units.history("gate/units")}
    units.sql("shop", "INSERT INTO units VALUES (4)")

    page.open(f"{units.gateway_url}/dagster/assets/database/tables")
    page.click("Materialize…", opens="Select a partition or create one")
    page.click("Select a partition or create one", opens="gate/units")
    page.click("gate/units")
    page.click("Launch runs to materialize database / tables")  # which closes the list
    page.click("Launch 1 run")

    assert wait_until(lambda: units.history("gate/units")[0]["run_id"] not in before, seconds=60)
    ended = units.wait_for_status("gate/units", "completed", "failed")
    assert (ended["status"], ended["trigger"]) == ("completed", "manual")
    assert units.sql("warehouse", "SELECT count(*) FROM gate.units WHERE id = 4") == [(1,)]
    assert (page.complaints, page.refused) == ([], [])


def first_admin(installation):
    """The session of whoever runs the installation."""
    answer = httpx.post(
        f"{installation.gateway_url}/first-admin",
        data={
            "key": installation.first_admin_key,
            "email": "boss@example.com",
            "password": "four plain words here",
        },
        headers={"Origin": installation.gateway_url},
    )
    assert answer.status_code == 303, answer.text
    return answer.cookies["sync_session"]


def test_a_tenants_people_see_none_of_dagsters_pages(units):
    headers = token(units, "admin")

    answers = [
        httpx.get(f"{units.gateway_url}/dagster{path}", headers=headers)
        for path in ("", "/runs", "/graphql?query={version}")
    ]

    assert [one.status_code for one in answers] == [403, 403, 403]
    assert urlsplit(units.dagster_url).hostname == "127.0.0.1"

"""Notifications, alerts and tags in a file: planned, stored once, refused with their lines."""

from itertools import pairwise

import httpcore
import pytest
from sqlalchemy import text

from sync_pipelines.apply import act
from sync_pipelines.apply.current import Current, read_current
from sync_pipelines.apply.parse import parse_manifest
from sync_pipelines.apply.plan import make_plan
from sync_pipelines.apply.problems import ManifestError
from sync_pipelines.apply.rule_store import Reach
from sync_pipelines.catalog.audit import entries
from sync_pipelines.catalog.notifications import list_rules
from sync_pipelines.catalog.syncs import find_sync, find_tenant_id
from sync_pipelines.catalog.tenants import thresholds_of
from sync_pipelines.model.notification import Channel, Scope, Topic
from tests.world import START

FRAME = """\
tenant: acme
connections:
  shop: {connector: database, config: {url: "sqlite:////tmp/shop.db"}}
  house: {connector: database, config: {url: "sqlite:////tmp/house.db"}}
syncs:
  orders:
    source: shop
    destination: house
    streams: [orders]
    tags: [nightly, finance]
    schedules:
      daily: {type: daily, at: "02:00"}
"""
RULES = """\
notifications:
  team:
    channel: email
    recipients: [Ana@Example.com, ben@example.com]
    topics: [failure, recovered]
    sync: orders
    quiet_hours: {from: "22:00", to: "07:00", timezone: Europe/Berlin}
    escalate_after: 3
    remind_after: 2d
  night: {channel: email, recipients: [ops@example.com], tag: nightly}
  early: {channel: in_app, recipients: [ana@example.com], schedule: orders/daily}
  week:
    channel: email
    recipients: [ana@example.com]
    topics: [digest]
    digest: {every: weekly, at: "08:00", weekday: fri, timezone: Europe/Berlin, when_empty: true}
  hook: {channel: webhook, url: "https://127.0.0.1/hooks/PRIVATE"}
alerts:
  failure_rate: {opens: 0.5, closes: 0.2}
  staleness: off
"""
INSIDE = Reach(allow_private=True)


@pytest.fixture
def stored(apply, catalog):
    """Applies a text with leave to reach into this network; the rules by name."""

    def run(written):
        plan = act.apply(catalog, apply.parsed(written), now=START, actor="cli:t", reach=INSIDE)
        with catalog.begin() as db:
            tenant_id = find_tenant_id(db, "acme")
            rules = list_rules(db, catalog.secrets, tenant_id=tenant_id)
        return plan, {rule.name: rule for rule in rules}

    return run


def test_rules_are_made_with_the_syncs_that_they_are_about(stored, catalog):
    plan, rules = stored(FRAME + RULES)

    assert [str(change.kind) for change in plan.changes][-6:] == ["rule"] * 5 + ["alerts"]
    assert rules["team"].recipients == ("ana@example.com", "ben@example.com")
    assert rules["team"].topics == (Topic.FAILURE, Topic.RECOVERED)
    assert rules["team"].remind_after.days == 2
    assert (rules["night"].scope, rules["night"].tag) == (Scope.TAG, "nightly")
    assert rules["early"].scope is Scope.SCHEDULE
    assert (rules["week"].digest.weekday, rules["week"].digest.when_empty) == (5, True)
    assert (rules["hook"].channel, len(rules["hook"].signing)) == (Channel.WEBHOOK, 1)
    with catalog.begin() as db:
        sync = find_sync(db, catalog.secrets, "acme/orders")
        held = thresholds_of(db, sync.tenant_id)
    assert rules["team"].sync_id == sync.id
    assert sync.tags == ("nightly", "finance")
    assert held == {"failure_rate": {"opens": 0.5, "closes": 0.2}, "staleness": None}


def test_a_file_that_was_applied_changes_nothing_again(stored):
    _, before = stored(FRAME + RULES)

    plan, after = stored(FRAME + RULES)

    assert plan.changes == ()
    assert plan.unchanged == 11
    assert before == after


def test_what_a_file_does_not_name_is_left_alone(stored):
    stored(FRAME + RULES)

    plan, rules = stored(FRAME)

    assert plan.changes == ()
    assert len(rules) == 5


def test_a_change_names_its_fields_and_keeps_the_secrets(stored, catalog):
    _, before = stored(FRAME + RULES)
    other = RULES.replace("escalate_after: 3", "escalate_after: 5").replace("PRIVATE", "HIDDEN")

    plan, after = stored(FRAME + other)

    fields = {change.name: [one.field for one in change.fields] for change in plan.changes}
    assert fields == {"acme/team": ["escalate_after"], "acme/hook": ["url"]}
    assert after["hook"].signing == before["hook"].signing
    assert after["hook"].target.endswith("HIDDEN")
    assert "HIDDEN" not in repr(plan)
    with catalog.begin() as db:
        kept = repr(entries(db, tenant_id=after["hook"].tenant_id, limit=100))
    assert "rule.changed" in kept
    assert "HIDDEN" not in kept


def test_a_url_that_is_left_out_stays(stored):
    _, before = stored(FRAME + RULES)
    left = RULES.replace(', url: "https://127.0.0.1/hooks/PRIVATE"', ", topics: [success]")

    _, after = stored(FRAME + left)

    assert after["hook"].topics == (Topic.SUCCESS,)
    assert after["hook"].target == before["hook"].target


def test_a_rule_that_was_switched_off_stays_so_unless_the_file_says_otherwise(stored, catalog):
    stored(FRAME + RULES)
    with catalog.begin() as db:
        db.exec_driver_sql("UPDATE sync.sync_notifications SET is_active = false")

    _, left = stored(FRAME + RULES)
    _, on = stored(FRAME + RULES.replace("sync: orders", "sync: orders\n    is_active: true"))

    assert not left["team"].is_active
    assert (on["team"].is_active, on["night"].is_active) == (True, False)


def test_a_plan_alone_stores_nothing(stored, apply, catalog):
    stored(FRAME)
    parsed = apply.parsed(FRAME + RULES)

    plan = act.preview(catalog, parsed, now=START, reach=INSIDE)

    assert len(plan.changes) == 6
    assert stored(FRAME)[1] == {}


def test_a_webhook_into_this_network_is_refused_with_its_line(apply):
    """R104."""
    with pytest.raises(ManifestError) as refused:
        apply(FRAME + RULES)

    line = (FRAME + RULES).splitlines().index(RULES.splitlines()[16]) + 1
    (problem,) = refused.value.problems
    assert problem.line == line
    assert "inside this network" in problem.message
    assert "PRIVATE" not in problem.message


def hook(url):
    return f'{FRAME}notifications:\n  hook: {{channel: webhook, url: "{url}"}}\n'


@pytest.fixture
def reach(catalog):
    """Where two names lead to, told to whoever does not hold the tenant; and what was asked."""
    asked = []

    def resolve(host, port):
        with catalog.begin() as db:
            db.execute(text("SET LOCAL lock_timeout = '1s'"))
            read_current(db, catalog.secrets, "acme", lock=True)
        asked.append((host, port))
        if not host.endswith("example.com"):
            raise httpcore.ConnectError("no such host")
        return ["93.184.216.34"]

    return Reach(resolve=resolve), asked


@pytest.mark.parametrize("how", ["applied", "planned", "by the API"])
def test_a_host_is_looked_up_once_and_nobody_waits_for_it_who_wants_the_tenant(
    apply, catalog, reach, how
):
    apply(FRAME)
    there, asked = reach
    parsed = apply.parsed(hook("https://hooks.example.com/a"))

    match how:
        case "applied":
            plan = act.apply(catalog, parsed, now=START, actor="cli:t", reach=there)
        case "planned":
            plan = act.preview(catalog, parsed, now=START, reach=there)
        case _:
            plan = act.change(
                catalog, "acme", lambda *_: parsed, now=START, actor="api:t", reach=there
            )

    assert [str(change.kind) for change in plan.changes] == ["rule"]
    assert asked == [("hooks.example.com", 443)]


def test_only_what_is_new_or_other_is_looked_up_and_what_is_not_there_refused(
    apply, catalog, reach
):
    there, asked = reach

    def applied(url):
        return act.apply(catalog, apply.parsed(hook(url)), now=START, actor="cli:t", reach=there)

    applied("https://hooks.example.com/a")
    applied("https://hooks.example.com/a")
    with pytest.raises(ManifestError) as refused:
        applied("https://nowhere.invalid:8443/SECRET")

    assert asked == [("hooks.example.com", 443), ("nowhere.invalid", 8443)]
    (problem,) = refused.value.problems
    assert problem.line == hook("").splitlines().index("notifications:") + 2
    assert problem.message == "the webhook's host 'nowhere.invalid' cannot be resolved"


def one(keys):
    return f"{FRAME}notifications:\n  team: {{{keys}}} #!\n"


MAIL = "channel: email, recipients: [ana@example.com]"

WRONG = {
    "no channel": (one("recipients: [ana@example.com]"), "a rule needs channel: one of"),
    "a channel that is none": (one("channel: mail"), "channel 'mail' is not known"),
    "a topic that is none": (one(f"{MAIL}, topics: [failures]"), "did you mean 'failure'?"),
    "a test is no topic": (one(f"{MAIL}, topics: [test]"), "topics has 'test', which is none"),
    "nobody": (one("channel: email"), "tells nobody"),
    "no address": (one("channel: email, recipients: [ana]"), "not an email address"),
    "no url": (one("channel: webhook"), "needs url"),
    "a url by mail": (one(f"{MAIL}, url: x"), "leave url out"),
    "recipients of a url": (
        one('channel: webhook, url: "https://x.example", recipients: [a@x.example]'),
        "leave recipients out",
    ),
    "two subjects": (one(f"{MAIL}, sync: orders, tag: nightly"), "a rule is about one of"),
    "no such sync": (one(f"{MAIL}, sync: order"), "did you mean 'orders'?"),
    "no such schedule": (one(f"{MAIL}, schedule: orders/dayly"), "did you mean 'orders/daily'?"),
    "a schedule without its sync": (one(f"{MAIL}, schedule: daily"), "write SYNC/SCHEDULE"),
    "quiet hours without an end": (
        one(f'{MAIL}, quiet_hours: {{from: "22:00"}}'),
        "quiet_hours needs to",
    ),
    "quiet hours of a number": (
        one(f"{MAIL}, quiet_hours: {{from: 22:00, to: 07:00}}"),
        "put quotes around it",
    ),
    "a zone that is none": (one(f"{MAIL}, digest: {{timezone: Berlin}}"), "Europe/Berlin"),
    "a digest of a schedule": (
        one(f"{MAIL}, topics: [digest], schedule: orders/daily"),
        "a digest is of a sync",
    ),
    "reminded all the time": (one(f"{MAIL}, remind_after: 1m"), "write 1h or more"),
    "an unknown key": (one(f"{MAIL}, to: x"), "unknown key 'to'"),
    "an unknown measure": ("tenant: acme\nalerts: {failures: {opens: 1}} #!\n", "failure_rate"),
    "an alert that ends above": (
        "tenant: acme\nalerts: {slowness: {opens: 2, closes: 3}} #!\n",
        "must not be above",
    ),
    "a tag that is no word": (FRAME.replace("finance]", "Fin Ance] #!"), "tag 'Fin Ance' cannot"),
}


@pytest.mark.parametrize(("written", "expected"), WRONG.values(), ids=WRONG)
def test_every_mistake_is_refused_with_its_line(written, expected):
    parsed = parse_manifest(written, file="acme.yaml", environment={})
    with pytest.raises(ManifestError) as refused:
        make_plan(parsed, Current(), now=START)

    lines = written.splitlines()
    marked = {number for number, line in enumerate(lines, start=1) if line.endswith("#!")}
    assert expected in str(refused.value)
    assert {problem.line for problem in refused.value.problems} == marked
    assert all(a.line <= b.line for a, b in pairwise(refused.value.problems))

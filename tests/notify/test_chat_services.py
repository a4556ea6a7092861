"""What Slack, PagerDuty and Teams are sent: at the addresses that they publish, by a real POST.

Only the host is another: our own receiver stands where theirs would.
"""

import json
from random import Random
from urllib.parse import urlsplit

import apprise
import pytest
import requests

from connectors.errors import ConfigError
from sync_pipelines.engine.outcome import ErrorClass
from sync_pipelines.model.notification import Channel, Topic
from sync_pipelines.notify.chat import AppriseSender
from sync_pipelines.notify.delivery import deliver_due
from sync_pipelines.notify.sending import Senders
from sync_pipelines.notify.targets import HOSTED, SELF_HOSTED, check_apprise
from tests.notify.hooks import BASE_URL

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

LINK = "https://sync.example.com/syncs/acme/orders"
ROUTING_KEY = "ABCDEFGHIJ0123456789ABCDEFGHIJ01"


@pytest.fixture
def posted(told, receiver, monkeypatch):
    """Tells the service behind a URL of a failure and of its end: where to, and the two bodies."""
    asked = []
    request = requests.Session.request

    def request_here(session, method, url, **what):
        asked.append((method.upper(), url))
        return request(session, method, receiver.at("ok"), **what)

    monkeypatch.setattr(requests.Session, "request", request_here)
    senders = Senders(by_channel={Channel.APPRISE: AppriseSender()}, base_url=BASE_URL)

    def deliver():
        told.clock.advance(minutes=2)
        deliver_due(told.catalog, senders, told.clock(), clock=told.clock, rng=Random(1))

    def posted(url):
        told.rule(
            Channel.APPRISE,
            targets=(url,),
            shown=check_apprise(url),
            topics=(Topic.FAILURE, Topic.RECOVERED),
        )
        told.fail(error=ErrorClass.AUTH)
        deliver()
        told.succeed()
        deliver()
        ((method, to),) = set(asked)
        assert method == "POST"
        return to, [json.loads(body) for _, _, body in receiver.had]

    return posted


def test_slack_gets_an_attachment_in_the_colour_of_what_happened(posted):
    """R99. Its address: https://api.slack.com/messaging/webhooks ."""
    to, (failed, over) = posted("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops")

    assert to == "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    assert failed["channel"] == "#ops"
    (said,), (good,) = failed["attachments"], over["attachments"]
    assert said["title"] == "[acme] orders failed"
    assert "What failed: auth: no luck (in orders)" in said["text"]
    assert LINK in said["text"]
    assert said["color"] != good["color"]
    assert good["title"] == "[acme] orders works again"


def test_pagerduty_gets_an_event_of_its_severity(posted):
    """Its fields: https://developer.pagerduty.com/docs/send-alert-event ."""
    to, (failed, over) = posted(f"pagerduty://{ROUTING_KEY}@A1BRTD4JDTIiajkdnlaz/")

    assert to == "https://events.pagerduty.com/v2/enqueue"
    assert failed["routing_key"] == ROUTING_KEY
    assert failed["event_action"] == "trigger"
    assert "orders failed" in failed["payload"]["summary"]
    assert "no luck" in failed["payload"]["summary"]
    assert failed["payload"]["severity"] == "critical"
    assert over["payload"]["severity"] == "info"


def test_teams_gets_an_adaptive_card_by_a_workflow(posted):
    """Connectors of Office 365, msteams://, have ended; workflows have taken their place."""
    host, workflow = "prod-01.westus.logic.azure.com", "643e69f83c8944438d68119179a10a64"

    to, (failed, _) = posted(f"workflows://{host}:443/{workflow}/KODuebWbDGYFr0z0eu")

    asked = urlsplit(to)
    assert (asked.scheme, asked.hostname) == ("https", host)
    assert workflow in asked.path
    card = failed["attachments"][0]
    assert card["contentType"] == "application/vnd.microsoft.card.adaptive"
    words = json.dumps(card["content"]).replace("\\", "")  # its markdown escapes what is text
    assert "[acme] orders failed" in words
    assert "no luck" in words
    assert LINK in words


def test_who_asks_for_the_ended_connectors_of_teams_is_told_what_there_is():
    with pytest.raises(ConfigError, match="workflows://"):
        check_apprise("msteams://team/T1JJ3T3L2@DEFK543/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/")


def test_every_service_that_we_name_is_known_to_apprise():
    known = {
        scheme
        for plugin in apprise.Apprise().details()["schemas"]
        for scheme in (*(plugin["protocols"] or ()), *(plugin["secure_protocols"] or ()))
    }

    assert known >= HOSTED | SELF_HOSTED

"""Rules that send to webhooks, and a delivery of what is due."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

from sync_pipelines.catalog.notifications import find_rule
from sync_pipelines.model.notification import Channel, Rule, Topic
from sync_pipelines.notify.delivery import deliver_due
from sync_pipelines.notify.sending import Senders
from sync_pipelines.notify.webhook import WebhookSender
from tests.notify.conftest import Told

BASE_URL = "https://sync.example.com"


@contextmanager
def delivering(
    told: Told, *, timeout_seconds: float = 5.0, **network: object
) -> Iterator[Callable[[], int]]:
    """What delivers all that is due, whenever it is called."""
    network = network or {"allow_private": True}
    sender = WebhookSender(clock=told.clock, timeout_seconds=timeout_seconds, **network)  # type: ignore[arg-type]
    senders = Senders(by_channel={Channel.WEBHOOK: sender}, base_url=BASE_URL)
    try:
        yield lambda: deliver_due(
            told.catalog, senders, told.clock(), clock=told.clock, rng=Random(1)
        )
    finally:
        sender.close()


def hook(told: Told, url: str, **fields: object) -> Rule:
    values = {"topics": (Topic.FAILURE,), **fields}
    return told.rule(Channel.WEBHOOK, targets=(url,), **values)


def stored(told: Told, rule: Rule) -> Rule:
    with told.catalog.begin() as db:
        return find_rule(db, told.catalog.secrets, rule.name, tenant_id=rule.tenant_id)

"""A process that delivers until it is killed: ``python -m tests.notify.deliverer URL KEY``."""

import sys
import time
from random import Random

from sync_pipelines.catalog.secrets import SecretBox
from sync_pipelines.catalog.store import open_catalog
from sync_pipelines.clock import system_clock
from sync_pipelines.model.notification import Channel
from sync_pipelines.notify.delivery import Deliverer, Senders
from sync_pipelines.notify.webhook import WebhookSender


def main() -> None:
    catalog = open_catalog(sys.argv[1], SecretBox((sys.argv[2],)))
    sender = WebhookSender(clock=system_clock, allow_private=True)
    senders = Senders(by_channel={Channel.WEBHOOK: sender}, base_url="https://sync.example.com")
    Deliverer(catalog, senders, clock=system_clock, rng=Random()).start()
    print("ready", flush=True)
    time.sleep(3600)


if __name__ == "__main__":
    main()

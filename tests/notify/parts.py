"""The parts of an installation that tell of failures, each a process that may be killed.

What fails here is settled by the engine's own code, in several processes at once, as runs do
it; no Dagster run is started for it, of which two cores could not carry so many. What such a
process leaves behind when it is killed is settled by whoever takes its place, as Dagster's
sensor for failed runs does it.
"""

import multiprocessing
import os
import ssl
import time
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from random import Random
from threading import Event

import psutil

from sync_pipelines.catalog import executions, rounds
from sync_pipelines.catalog.secrets import SecretBox
from sync_pipelines.catalog.store import Catalog, open_catalog
from sync_pipelines.catalog.syncs import find_sync
from sync_pipelines.clock import system_clock
from sync_pipelines.engine.aftermath import follow_up, follow_up_left_behind
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.engine.outcome import ErrorClass, Failure, Outcome, StreamResult
from sync_pipelines.engine.settle import settle, settle_lost
from sync_pipelines.model.execution import Status
from sync_pipelines.model.notification import Channel
from sync_pipelines.model.sync import Sync
from sync_pipelines.notify.delivery import Deliverer
from sync_pipelines.notify.mail import MailSender, MailServer
from sync_pipelines.notify.sending import Senders
from sync_pipelines.notify.watched import tell_of_watched
from sync_pipelines.notify.webhook import WebhookSender

LOOK_SECONDS = 0.5

_FROM_ONE_THAT_IS_READY = multiprocessing.get_context("forkserver")
_FROM_ONE_THAT_IS_READY.set_forkserver_preload([__name__])


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where everything is; ``certificate`` is that of the mail server."""

    url: str
    key: str
    smtp_port: int
    user: str
    password: str
    certificate: str

    def catalog(self) -> Catalog:
        return open_catalog(self.url, SecretBox((self.key,)))


def settler(site: Site, keys: list[str], per_second: float, seed: int) -> BaseProcess:
    """Lets one sync after the other fail, so many a second."""
    return _FROM_ONE_THAT_IS_READY.Process(target=_settle, args=(site, keys, per_second, seed))


def deliverer(site: Site) -> BaseProcess:
    """Delivers, as a gateway does."""
    return _FROM_ONE_THAT_IS_READY.Process(target=_deliver, args=(site,))


def dispatcher(site: Site) -> BaseProcess:
    """Looks after what others left behind, as Dagster's daemon does with the sensors."""
    return _FROM_ONE_THAT_IS_READY.Process(target=_dispatch, args=(site,))


def settle_dead(catalog: Catalog) -> None:
    """Settle what settlers that are gone had begun."""
    with catalog.begin() as db:
        running = rounds.running_for_all_tenants(db)
    for one in running:
        pid = one.run_id or ""
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            settle_lost(catalog, one.id, attempt=one.attempt, now=system_clock(), rng=Random())


def _settle(site: Site, keys: list[str], per_second: float, seed: int) -> None:
    catalog, rng = site.catalog(), Random(seed)
    settle_dead(catalog)
    with catalog.begin() as db:
        syncs = [find_sync(db, catalog.secrets, key) for key in keys]
    due = time.monotonic()
    while True:
        due += 1 / per_second
        time.sleep(max(0.0, due - time.monotonic()))  # the pace of the plan
        _fail(catalog, rng.choice(syncs))


def _fail(catalog: Catalog, sync: Sync) -> None:
    """An execution that starts, fails and is followed up: a kill may come between any two."""
    execution_id = trigger(catalog, sync, now=system_clock(), queued=True)
    with catalog.begin() as db:
        found = executions.lock_for_all_tenants(db, execution_id)
        assert found is not None
        running = found.started(system_clock(), str(os.getpid()))
        executions.save(db, found, running)
    failure = Failure(error_class=ErrorClass.AUTH, message="401 the token has expired")
    outcome = Outcome(status=Status.FAILED, failure=failure)
    results = [StreamResult(stream="orders", failure=failure)]
    with catalog.begin() as db:
        settle(db, running, outcome, results, now=system_clock())
    follow_up(catalog, execution_id, system_clock())


def _deliver(site: Site) -> None:
    catalog = site.catalog()
    server = MailServer(
        host="localhost",
        port=site.smtp_port,
        sender="sync@example.com",
        user=site.user,
        password=site.password,
        context=ssl.create_default_context(cafile=site.certificate),
    )
    senders = Senders(
        by_channel={
            Channel.WEBHOOK: WebhookSender(clock=system_clock, allow_private=True),
            Channel.EMAIL: MailSender(server, clock=system_clock),
        },
        base_url="https://sync.example.com",
    )
    worker = Deliverer(catalog, senders, clock=system_clock, rng=Random())
    worker.start()
    Event().wait()


def _dispatch(site: Site) -> None:
    catalog = site.catalog()
    while True:
        follow_up_left_behind(catalog, system_clock())
        with catalog.begin() as db:
            tell_of_watched(db, system_clock())
        time.sleep(LOOK_SECONDS)  # as the sensors that it stands for wait between two ticks

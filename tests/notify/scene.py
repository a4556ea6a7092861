"""Tenants whose syncs fail for shared causes, who is told of it, and what must hold at the end."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from statistics import quantiles

import psycopg

from sync_pipelines.catalog.secrets import SecretBox, new_key
from sync_pipelines.catalog.store import open_catalog
from sync_pipelines.clock import system_clock
from sync_pipelines.model.notification import Channel, Rule, Topic
from sync_pipelines.model.sync import Sync
from tests.notify import parts
from tests.notify.conftest import Told
from tests.notify.killing import Start, begun
from tests.notify.parts import Site
from tests.notify.post_office import PASSWORD, USER, PostOffice, post_office
from tests.notify.receiver import Receiver, receiving
from tests.world import World

TENANTS = ("acme", "bolt", "cask", "dune")
EACH = 6
"""Syncs of a tenant that settlers let fail; every three share a source, and so a cause."""

ONE_ATTEMPT = "UPDATE sync.syncs SET retry = retry || '{\"max_attempts\": 1}'"

FIRST_ATTEMPTS = """
SELECT event_id, (receipts -> 0 ->> 'begun_at')::timestamptz
FROM sync.outbox WHERE channel = 'webhook'
"""

LEFT = """
SELECT (SELECT count(*) FROM sync.sync_executions
        WHERE status = 'running' OR status = 'failed' AND followed_up_at IS NULL)
     + (SELECT count(*) FROM sync.outbox WHERE state = 'pending')
"""

CAUSES = """
SELECT DISTINCT t.name || '/' || c.name || ': ' || (e.error_details ->> 'error_class')
FROM sync.sync_executions e
JOIN sync.syncs s ON s.id = e.sync_id
JOIN sync.connections c ON c.id = s.source_id
JOIN sync.tenants t ON t.id = e.tenant_id
WHERE e.status = 'failed'
"""


OPEN_CAUSES = "SELECT subject FROM sync.incidents WHERE kind = 'failing' AND resolved_at IS NULL"


@dataclass(frozen=True)
class Scene:
    """Tenants with rules for each kind of reader, and what they are told by."""

    told: Told
    site: Site
    receiver: Receiver
    office: PostOffice
    hooks: list[Rule]
    mails: list[Rule]

    def ask(self, query: str) -> list[tuple]:
        with psycopg.connect(self.site.url) as database:
            return database.execute(query).fetchall()  # type: ignore[arg-type]

    def failed(self) -> dict[str, datetime]:
        """The id by which each failure is told, and when it came to be."""
        rows = self.ask("SELECT id, completed_at FROM sync.sync_executions WHERE status = 'failed'")
        return {f"execution:{one}:failure": at for one, at in rows}

    def settlers(self, number: int, *, per_second: float, seed: int) -> dict[str, Start]:
        """Processes that settle failures, so many a second each. No two share a sync."""
        keys = [f"{tenant}/s{number}" for tenant in TENANTS for number in range(EACH)]
        starts: dict[str, Start] = {}
        for one in range(number):
            settler = partial(parts.settler, self.site, keys[one::number], per_second, seed + one)
            starts[f"settler {one}"] = partial(begun, settler)
        return starts

    def runnable(self, tenant: str, number: int) -> list[Sync]:
        """Syncs with one source, which lets nobody in: whoever runs one is refused at once."""
        url = self.site.url.replace("postgres@", "somebody:wrong@", 1)
        keys = [f"{tenant}/r{one}" for one in range(number)]
        syncs = self.told.shared(keys, source={"url": url})
        self._give_one_attempt()
        return syncs

    def is_over(self) -> bool:
        """Whether all that runs has failed, and all that failed has been told."""
        return self.ask(LEFT) == [(0,)]

    def _give_one_attempt(self) -> None:
        """A lost attempt is final then, so that it is told, too."""
        with self.told.catalog.begin() as db:
            db.exec_driver_sql(ONE_ATTEMPT)


@contextmanager
def staged(url: str, directory: Path) -> Iterator[Scene]:
    """The scene in an empty database, with its mail server and its receiver of webhooks."""
    key = new_key()
    catalog = open_catalog(url, SecretBox((key,)))
    told = Told(World(catalog, system_clock))  # type: ignore[arg-type]
    with receiving() as receiver, post_office(directory) as office:
        site = Site(
            url=url,
            key=key,
            smtp_port=office.smtp_port,
            user=USER,
            password=PASSWORD,
            certificate=str(directory / "cert.pem"),
        )
        hooks, mails = [], []
        for tenant in TENANTS:
            for first in range(0, EACH, 3):
                told.shared([f"{tenant}/s{first + number}" for number in range(3)])
            tenant_id = told.sync(f"{tenant}/s0").tenant_id
            mine = partial(told.rule, topics=(Topic.FAILURE,), tenant_id=tenant_id)
            hooks.append(mine(Channel.WEBHOOK, targets=(receiver.at("ok"),)))
            mails.append(mine(recipients=(f"{tenant}@example.com",)))
        scene = Scene(told, site, receiver, office, hooks, mails)
        scene._give_one_attempt()
        yield scene
    catalog.close()


def check(scene: Scene, capsys, *, p99_seconds: float) -> None:
    """Each outcome told once for each rule, people once of each cause, and soon."""
    failed = scene.failed()
    tried = scene.ask(FIRST_ATTEMPTS)
    until_tried = sorted((at - failed[event_id]).total_seconds() for event_id, at in tried)
    until_there = sorted(waited(scene.receiver, failed))
    mails = [mail for tenant in TENANTS for mail in scene.office.mails_of(f"{tenant}@example.com")]
    causes = set(scene.ask(CAUSES))
    with capsys.disabled():
        print(
            f"\n{len(failed)} outcomes of {len(causes)} causes; "
            f"{len(scene.receiver.had) - len(failed)} webhooks and {len(mails) - len(causes)} "
            f"mails came twice\n"
            f"outcome to first attempt {shown(until_tried)}; to receiver {shown(until_there)}; "
            f"load {os.getloadavg()[0]:.1f}"
        )

    posted = [one.event_id for hook in scene.hooks for one in scene.told.posted(hook)]
    assert sorted(posted) == sorted(failed), "each outcome once in the outbox, for its rule"
    assert set(scene.receiver.ids()) == set(failed), "each at the receiver, under its one id"
    assert sorted(scene.ask(OPEN_CAUSES)) == sorted(causes), "one open incident of each cause"
    about = [one.event_id for mail in scene.mails for one in scene.told.posted(mail)]
    assert len(about) == len(set(about)) == len(causes), "people once of each cause"
    assert len({mail["Message-ID"] for mail in mails}) == len(causes)
    assert p99(until_tried) < p99_seconds


def p99(waits: list[float]) -> float:
    return quantiles(waits, n=100, method="inclusive")[98]


def shown(waits: list[float]) -> str:
    parts = quantiles(waits, n=100, method="inclusive")
    return f"p50 {parts[49]:.2f} s, p99 {parts[98]:.2f} s, slowest {waits[-1]:.2f} s"


def waited(receiver: Receiver, failed: dict[str, datetime]) -> Iterator[float]:
    """From each outcome until it first arrived."""
    first: dict[str, float] = {}
    for event_id, at in zip(receiver.ids(), receiver.at_seconds, strict=True):
        first.setdefault(event_id, at)
    for event_id, at in first.items():
        yield at - failed[event_id].timestamp()

"""What is told of runs that could not speak any more: Dagster's sensors settle and tell of them.

Runs, their host, Dagster's daemon and deliverers are all killed again and again; the first
three are what is shipped, the deliverers what each gateway has inside.
"""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest

from sync_pipelines.catalog.notifications import put_rule
from sync_pipelines.catalog.secrets import SecretBox, new_key
from sync_pipelines.catalog.store import Catalog, open_catalog
from sync_pipelines.catalog.syncs import find_sync
from sync_pipelines.clock import system_clock
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.model.notification import Channel, Rule, Topic
from sync_pipelines.runtime.waiting import wait_until
from tests.e2e.chaos import RETRY, TENANTS, Chaos, Data, Kill, Victim, manifest
from tests.notify import parts
from tests.notify.killing import Installation, begun
from tests.notify.parts import Site
from tests.notify.receiver import Receiver, receiving, self_signed

ROUNDS = 12
SYNCS = ("lite_log", "lite_stock")
START_SECONDS, HOME_SECONDS = 90.0, 240.0
"""The longest way home: a hand-over that died is looked for after two minutes."""

pytestmark = [pytest.mark.long, pytest.mark.processes, pytest.mark.timeout(900)]

ENDED = (
    "SELECT 'execution:' || id || CASE status WHEN 'failed' THEN ':failure' ELSE ':success' END, "
    "status, error_details ->> 'error_class' FROM sync.sync_executions"
)
LEFT = (
    "SELECT (SELECT count(*) FROM sync.sync_executions WHERE followed_up_at IS NULL)"
    " + (SELECT count(*) FROM sync.outbox WHERE state = 'pending')"
)
ANY_TOLD = "SELECT FROM sync.outbox WHERE state = 'sent' LIMIT 1"


@dataclass
class Home(Chaos):
    """An installation whose key is known to the test."""

    key: str = ""

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "SYNC_SECRET_KEY": self.key}


@pytest.fixture
def chaos(empty_postgres_url: str) -> Iterator[Home]:
    with tempfile.TemporaryDirectory(prefix="sync-told-") as directory:
        made = Home(Path(directory), empty_postgres_url, key=new_key())
        made.prepare()
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture
def catalog(chaos: Home) -> Iterator[Catalog]:
    """Each tenant's syncs, of which a lost attempt is the last."""
    Data(chaos.home, chaos.database_url).fill()
    for tenant in TENANTS:
        path = chaos.home / f"{tenant}.yaml"
        text = manifest(chaos.home, tenant, chaos.database_url)
        path.write_text(text.replace(RETRY, "retry: {max_attempts: 1}"))
        chaos.cli("apply", "-f", str(path))
    opened = open_catalog(chaos.database_url, SecretBox((chaos.key,)))
    yield opened
    opened.close()


@pytest.fixture
def receiver(catalog: Catalog) -> Iterator[Receiver]:
    """Told of each outcome by a rule of each tenant."""
    with receiving() as found:
        for tenant in TENANTS:
            with catalog.begin() as db:
                rule = Rule(
                    id=uuid4(),
                    tenant_id=find_sync(db, catalog.secrets, f"{tenant}/log").tenant_id,
                    name="hook",
                    channel=Channel.WEBHOOK,
                    topics=(Topic.SUCCESS, Topic.FAILURE),
                    targets=(found.at("ok"),),
                    shown=found.url,
                )
                put_rule(db, catalog.secrets, rule, now=system_clock())
        yield found


def test_killed_runs_are_told_of_once_though_the_daemon_is_killed_too(
    chaos: Home, catalog: Catalog, receiver: Receiver, capsys
):
    rng = Random(6)
    certificate, _ = self_signed(chaos.home)
    site = Site(
        url=chaos.database_url,
        key=chaos.key,
        smtp_port=9,
        user="",
        password="",
        certificate=str(certificate),
    )
    starts = {f"deliverer {one}": partial(begun, partial(parts.deliverer, site)) for one in "12"}
    chaos.start_code()
    chaos.start_host()
    chaos.start_daemon()

    with Installation() as deliverers:
        deliverers.add(starts)
        ask(catalog, rng, number=1)
        assert wait_until(lambda: bool(chaos.sql(ANY_TOLD)), seconds=START_SECONDS), said(chaos)
        for number in range(ROUNDS):
            ask(catalog, rng, number=3)
            chaos.kill(drawn(rng, Victim.CHILD), rng)
            deliverers.kill_one(rng)
            if number % 3 == 1:
                chaos.kill(drawn(rng, Victim.DAEMON), rng)
            if number % 6 == 5:
                chaos.kill(drawn(rng, Victim.HOST), rng)
            chaos.tend()
        began = time.monotonic()
        is_over = wait_until(partial(nothing_is_left, chaos), seconds=HOME_SECONDS, every=0.5)
        home = time.monotonic() - began

    outcomes = chaos.sql(ENDED)
    ids = sorted(event_id for event_id, *_ in outcomes)
    lost = [one for one in outcomes if one[1] == "failed"]
    with capsys.disabled():
        print(
            f"\n{len(outcomes)} outcomes, of which {len(lost)} failed; killed {chaos.killed} and "
            f"{deliverers.kills} deliverers; {home:.0f} s until all was told"
        )
    assert is_over, (outcomes, said(chaos))
    assert {status for _, status, _ in outcomes} == {"completed", "failed"}
    assert len(lost) >= ROUNDS // 2, "whose process was killed"
    assert sorted(one for (one,) in chaos.sql("SELECT event_id FROM sync.outbox")) == ids
    assert set(receiver.ids()) == set(ids)


def ask(catalog: Catalog, rng: Random, *, number: int) -> None:
    for _ in range(number):
        with catalog.begin() as db:
            key = f"{rng.choice(TENANTS)}/{rng.choice(SYNCS)}"
            found = find_sync(db, catalog.secrets, key)
        trigger(catalog, found, now=system_clock())


def drawn(rng: Random, victim: Victim) -> Kill:
    return Kill(after_seconds=0, victim=victim, down_seconds=rng.uniform(0.0, 1.5))


def nothing_is_left(chaos: Home) -> bool:
    chaos.tend()
    return chaos.sql(LEFT) == [(0,)]


def said(chaos: Home) -> tuple[str, str]:
    return chaos.log("daemon"), chaos.log("host")

"""Deliverers that are killed at random: nothing is lost, and every outcome is told once."""

import os
import subprocess
import sys
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from random import Random
from uuid import UUID

import pytest
from sqlalchemy import text

from sync_pipelines.catalog.outbox import DeliveryState
from sync_pipelines.catalog.secrets import SecretBox, new_key
from sync_pipelines.catalog.store import open_catalog
from sync_pipelines.clock import system_clock
from sync_pipelines.engine.aftermath import follow_up_left_behind
from sync_pipelines.model.notification import Channel, Topic
from tests.notify.conftest import Told
from tests.notify.receiver import receiving
from tests.world import FakeClock, World

ROOT = Path(__file__).parents[2]
OUTCOMES = 60
KILLS = 6


@pytest.mark.processes
def test_every_outcome_arrives_under_one_id_however_often_deliverers_are_killed(
    empty_postgres_url,
):
    key, rng = new_key(), Random(6)
    told = Told(World(open_catalog(empty_postgres_url, SecretBox((key,))), FakeClock()))
    tenants = ("acme", "rival", "third")
    with receiving() as receiver:
        hooks = [
            told.rule(
                Channel.WEBHOOK,
                targets=(receiver.at("ok"),),
                topics=(Topic.FAILURE,),
                tenant_id=told.sync(f"{tenant}/orders").tenant_id,
            )
            for tenant in tenants
        ]
        mails = [told.rule(topics=(Topic.FAILURE,), tenant_id=hook.tenant_id) for hook in hooks]
        worker = started(empty_postgres_url, key)
        for number in range(OUTCOMES):
            # Every third process dies before it can follow up.
            told.fail(f"{rng.choice(tenants)}/orders", followed=number % 3 != 0)
            if number % (OUTCOMES // KILLS) == 0:
                killed(worker)
                worker = started(empty_postgres_url, key)
        follow_up_left_behind(told.catalog, told.clock() + timedelta(minutes=1))
        drain(told, hooks)
        killed(worker)

    with told.catalog.begin() as db:
        failed = {
            f"execution:{one}:failure"
            for one in db.scalars(text("SELECT id FROM sync.sync_executions"))
        }
        open_causes = db.scalars(text("SELECT tenant_id FROM sync.incidents")).all()
    posted = [one.event_id for hook in hooks for one in told.posted(hook)]
    assert sorted(posted) == sorted(failed), "each outcome once in the outbox, for its rule"
    assert len(failed) == OUTCOMES
    assert set(receiver.ids()) == failed, "each at the receiver, under its one id"
    assert Counter(open_causes) == Counter({UUID(str(hook.tenant_id)): 1 for hook in hooks})
    assert [len(told.posted(mail)) for mail in mails] == [1, 1, 1], "people once of a cause"
    told.catalog.close()


def started(url: str, key: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.notify.deliverer", url, key]
    worker = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"ready\n"
    return worker


def killed(worker: subprocess.Popen[bytes]) -> None:
    worker.kill()
    worker.wait()
    assert worker.stdout is not None
    worker.stdout.close()


def drain(told: Told, hooks) -> None:
    """Wait until all has arrived; what a killed one had is given back at once, not in minutes."""
    until = time.monotonic() + 60
    while True:
        waiting = [
            one
            for hook in hooks
            for one in told.posted(hook)
            if one.state is not DeliveryState.SENT
        ]
        if not waiting:
            return
        assert time.monotonic() < until, waiting[:3]
        time.sleep(0.3)
        with told.catalog.begin() as db:
            soon = system_clock() + timedelta(seconds=2)
            db.execute(
                text("UPDATE sync.outbox SET taken_until = :soon WHERE taken_until > :soon"),
                {"soon": soon},
            )

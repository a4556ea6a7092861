"""Up to a thousand failures a minute are told soon and once, while all that is shipped is killed.

Dagster's daemon, the warm host with the runs it carries out, and two gateways: each as shipped,
each killed and started again all along. As many failures as two cores carry are runs out of
Dagster's queue, refused by their source; of those whose process is killed only Dagster's sensor
can tell. The rest is settled by processes of the test, as runs settle it.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain, cycle
from pathlib import Path
from random import Random
from threading import Event, Thread
from urllib.parse import quote

import psutil
import pytest

from sync_pipelines.clock import system_clock
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.model.sync import Sync
from sync_pipelines.runtime.waiting import wait_until
from tests.e2e.chaos import Chaos, Kill, Victim
from tests.notify import parts
from tests.notify.killing import Installation, Part
from tests.notify.post_office import PASSWORD, USER
from tests.notify.scene import TENANTS, Scene, check, staged

pytestmark = [pytest.mark.long, pytest.mark.processes, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
SECONDS, OUTCOMES = 120, 2_000
"""How long it lasts at least, and how much fails; a busy machine takes longer."""
RUNS_A_MINUTE, SETTLED_A_MINUTE, SETTLERS = 180, 950, 10
RUNNABLE = 40
"""Syncs of a tenant that Dagster runs. One sync is one run at a time."""
MOST_WAITING = 120
START_SECONDS, HOME_SECONDS = 120.0, 240.0
"""The longest way home: a hand-over that died is looked for after two minutes."""

VICTIMS = {Victim.CHILD: 20, None: 8, Victim.DAEMON: 1, Victim.HOST: 1}
"""What is killed, in which proportion; None is a gateway or a settler."""

WAITING = "SELECT count(*) FROM sync.sync_executions WHERE status IN ('pending', 'queued')"

SPOKEN = """
SELECT CASE WHEN run_id ~ '^[0-9]+$' THEN 'settler' ELSE 'run' END,
       error_details ->> 'error_class', left(error_message, 50), count(*),
       count(*) FILTER (WHERE followed_up_at > completed_at + interval '4 s')
FROM sync.sync_executions WHERE status = 'failed' GROUP BY 1, 2, 3 ORDER BY 4 DESC
"""


@dataclass
class Home(Chaos):
    """An installation whose key, and whose mail server, is the test's."""

    scene: Scene | None = None

    @property
    def environment(self) -> dict[str, str]:
        assert self.scene is not None
        site, user = self.scene.site, f"{quote(USER)}:{quote(PASSWORD)}"
        return {
            **super().environment,
            "SYNC_SECRET_KEY": site.key,
            "SYNC_SMTP_URL": f"smtp://{user}@localhost:{site.smtp_port}",
            "SYNC_MAIL_FROM": "sync@example.com",
            "SYNC_ALLOW_PRIVATE_ADDRESSES": "true",
            "SSL_CERT_FILE": site.certificate,
            "PYTHONPATH": str(ROOT),
        }

    def kill_run(self, rng: Random) -> None:
        """Kill what the host has begun, a run or the telling of its death, if there is any."""
        with suppress(psutil.NoSuchProcess):
            (host,) = psutil.Process(self.processes["host"].pid).children()
            if runs := host.children():
                rng.choice(runs).kill()
                self.killed[Victim.CHILD] += 1

    def gateway(self, name: str) -> "Gateway":
        """`serve`, as it is shipped."""
        path = self.home / f"{name}-{len(list(self.home.glob('gateway*')))}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "sync_pipelines.cli", "serve", "--port", "0"],
                stdout=log,
                stderr=log,
                cwd=self.home,
                env=self.environment,
            )
        return Gateway(process, path)


@dataclass(frozen=True)
class Gateway:
    """`serve`, and what it says."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def kill(self) -> None:
        self.process.kill()

    def join(self) -> None:
        self.process.wait()

    def is_up(self) -> bool:
        return "the gateway is on" in self.log.read_text()


def up(running: dict[str, Part]) -> set[str]:
    """The gateways that answer."""
    return {name for name, one in running.items() if isinstance(one, Gateway) and one.is_up()}


def spared(running: dict[str, Part]) -> set[str]:
    """Who is about to start, and the last gateway that is up: what is to be seen is how others
    go on, not how long a start takes.
    """
    gateways = {name for name, one in running.items() if isinstance(one, Gateway)}
    ready = up(running)
    return gateways - ready if len(ready) > 1 else gateways


@pytest.fixture
def scene(empty_postgres_url, tmp_path) -> Iterator[Scene]:
    with staged(empty_postgres_url, tmp_path) as made:
        yield made


@pytest.fixture
def home(scene: Scene) -> Iterator[Home]:
    with tempfile.TemporaryDirectory(prefix="sync-told-") as directory:
        made = Home(Path(directory), scene.site.url, scene=scene)
        made.prepare()
        try:
            yield made
        finally:
            made.stop()


def test_a_thousand_failures_a_minute_are_told_within_seconds(scene: Scene, home: Home, capsys):
    """The proof of the issue: two minutes, with everything killed.

    What takes longest are outcomes whose process is killed before it has settled them.
    """
    gateways = {name: partial(home.gateway, name) for name in ("gateway1", "gateway2")}
    settlers = scene.settlers(SETTLERS, per_second=SETTLED_A_MINUTE / 60 / SETTLERS, seed=7)
    wanted = chain.from_iterable(
        zip(*(scene.runnable(tenant, RUNNABLE) for tenant in TENANTS), strict=True)
    )
    home.start_code()
    home.start_host()
    home.start_daemon()

    with Installation(are_spared=spared) as installation:
        installation.add(gateways)
        assert wait_until(lambda: len(up(installation.running)) == 2, seconds=START_SECONDS)
        with asking(scene, list(wanted)):
            assert wait_until(lambda: bool(scene.failed()), seconds=START_SECONDS), said(home)
            before, began = len(scene.failed()), time.monotonic()
            installation.add(settlers)
            rng = Random(7)
            while len(scene.failed()) < OUTCOMES or time.monotonic() - began < SECONDS:
                time.sleep(rng.uniform(0.5, 2.0))  # the plan itself: nothing is waited for
                kill_one(home, installation, rng)
        installation.stop("settler")
        lasted, failed = time.monotonic() - began, len(scene.failed()) - before
        parts.settle_dead(scene.told.catalog)
        is_over = wait_until(partial(nothing_is_left, scene, home), seconds=HOME_SECONDS, every=0.5)
        home_seconds = time.monotonic() - began - lasted

    with capsys.disabled():
        print(
            f"\n{failed / lasted * 60:.0f} failures a minute; killed {dict(home.killed)} and "
            f"{installation.kills} gateways and settlers; {home_seconds:.0f} s until all was told"
        )
        for row in scene.ask(SPOKEN):
            print(*row)
    assert is_over, said(home)
    check(scene, capsys, p99_seconds=10)


@contextmanager
def asking(scene: Scene, syncs: Sequence[Sync]) -> Iterator[None]:
    """Ask for one sync after the other, so many a minute, unless too much waits already."""
    stopping, catalog = Event(), scene.told.catalog

    def ask() -> None:
        for sync in cycle(syncs):
            if stopping.wait(60 / RUNS_A_MINUTE):
                return
            with catalog.begin() as db:
                waiting = db.exec_driver_sql(WAITING).scalar_one()
            if waiting < MOST_WAITING:
                trigger(catalog, sync, now=system_clock())

    thread = Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def kill_one(home: Home, installation: Installation, rng: Random) -> None:
    (victim,) = rng.choices(list(VICTIMS), list(VICTIMS.values()))
    if victim is None:
        installation.kill_one(rng)
    elif victim is Victim.CHILD:
        home.kill_run(rng)
    else:
        home.kill(Kill(after_seconds=0, victim=victim, down_seconds=rng.uniform(0, 1)), rng)
    home.tend()


def nothing_is_left(scene: Scene, home: Home) -> bool:
    home.tend()
    return scene.ask(WAITING) == [(0,)] and scene.is_over()


def said(home: Home) -> tuple[str, str]:
    return home.log("daemon"), home.log("host")

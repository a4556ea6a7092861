"""An installation whose parts are killed at random, and the small syncs that it carries out.

Everything is a process of its own, and so is its database server; the test is their
supervisor. A plan is drawn from a seed: what is killed, when, and for how long.
"""

import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from random import Random

import psutil
import psycopg
import yaml

from sync_pipelines.runtime import postmaster, up
from sync_pipelines.runtime.places import settle
from sync_pipelines.runtime.postgres import embedded
from sync_pipelines.runtime.services import RUN_STATUS_EVENTS_PER_TICK
from sync_pipelines.runtime.waiting import wait_until
from sync_pipelines.runtime.warm.ledger import Entry, Ledger
from sync_pipelines.runtime.warm.meeting import SUPERVISED, socket_path
from tests.e2e.services import Services

TENANTS = ("acme", "bolt", "cask", "dune")
FIRST_ROWS = 2000


class Victim(StrEnum):
    """What may be killed."""

    CHILD = "run child"
    HOST = "warm host"
    DAEMON = "daemon"
    SERVER = "PostgreSQL, SIGKILL"
    IMMEDIATE = "PostgreSQL, immediate"


SHARES = {
    Victim.CHILD: 10,
    Victim.HOST: 4,
    Victim.DAEMON: 2,
    Victim.SERVER: 2,
    Victim.IMMEDIATE: 2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One event of a plan: after how long a peace, what, and how long it stays down.

    These are the only times that are slept through: the plan itself, no waiting for anything.
    """

    after_seconds: float
    victim: Victim
    down_seconds: float


def drawn(rng: Random, number: int) -> list[Kill]:
    """A plan of so many kills, in which each kind of victim comes up."""
    victims = [*Victim, *rng.choices(list(SHARES), list(SHARES.values()), k=number - len(Victim))]
    rng.shuffle(victims)
    return [
        Kill(
            after_seconds=rng.uniform(0.5, 4.0),
            victim=victim,
            down_seconds=rng.uniform(0.0, 1.5),
        )
        for victim in victims
    ]


@dataclass
class Chaos(Services):
    """Services with a warm host and a PostgreSQL of their own, and ways to kill each."""

    killed: Counter[Victim] = field(default_factory=Counter)
    fallen: Counter[str] = field(default_factory=Counter)
    """What ended by itself."""

    @property
    def environment(self) -> dict[str, str]:
        limit = {"DAGSTER_RUN_STATUS_SENSOR_PROCESS_LIMIT": RUN_STATUS_EVENTS_PER_TICK}
        return {**super().environment, **limit, SUPERVISED: "test"}

    @property
    def ledger(self) -> Ledger:
        return Ledger.of(self.home)

    def prepare(self) -> None:
        super().prepare()
        path = self.home / "dagster.yaml"
        settings = yaml.safe_load(path.read_text())
        settings["run_monitoring"] |= {"start_timeout_seconds": 30, "poll_interval_seconds": 5}
        path.write_text(yaml.safe_dump(settings))

    def start_host(self) -> None:
        command = ["sync_pipelines.runtime.warm", "--module", up.DEFINITIONS]
        self._start("host", *command, "--socket", str(socket_path(self.home)))

    def kill(self, kill: Kill, rng: Random) -> None:
        """Carry out one kill, and start again what was killed."""
        if kill.victim is Victim.CHILD:
            if not self._kill_child(rng):
                return
        elif kill.victim in (Victim.HOST, Victim.DAEMON):
            name = "host" if kill.victim is Victim.HOST else "daemon"
            self._kill_service(name)
            time.sleep(kill.down_seconds)
            self.start_host() if name == "host" else self.start_daemon()
        else:
            self._kill_server(immediate=kill.victim is Victim.IMMEDIATE)
            time.sleep(kill.down_seconds)
            with embedded(self.home):  # the fixture is its user too, and keeps it running
                pass
        self.killed[kill.victim] += 1

    def tend(self) -> None:
        """Start again what has ended by itself, as `up` does.

        A daemon that is just starting gives up on a database that is down.
        """
        for name, start in (("host", self.start_host), ("daemon", self.start_daemon)):
            if self.processes[name].poll() is not None:
                self.fallen[name] += 1
                start()

    def living(self) -> list[Entry]:
        return [entry for entry in self.ledger.entries() if entry.is_alive]

    def _kill_child(self, rng: Random) -> bool:
        """Kill a run that is under way, some way through; False if there was none."""
        if not wait_until(lambda: bool(self.living()), seconds=10, every=0.01):
            return False
        time.sleep(rng.uniform(0.0, 0.4))  # how far it has come is the plan's to say
        found = self.living()
        if not found:
            return False
        with suppress(psutil.NoSuchProcess):
            psutil.Process(rng.choice(found).pid).kill()
            return True
        return False

    def _kill_service(self, name: str) -> None:
        tethered = self.processes.pop(name)
        with suppress(psutil.NoSuchProcess):  # it has ended by itself
            for process in psutil.Process(tethered.pid).children():
                process.kill()
        tethered.wait(30)

    def _kill_server(self, *, immediate: bool) -> None:
        """`pg_ctl stop -m immediate` is a SIGQUIT; a SIGKILL leaves its children to themselves."""
        place = settle(self.home)
        server = postmaster.find(place)
        assert server is not None
        process = psutil.Process(server.pid)
        process.send_signal(signal.SIGQUIT if immediate else signal.SIGKILL)
        with suppress(psutil.NoSuchProcess):
            process.wait(30)


MANIFEST = """
tenant: {tenant}
connections:
  notes: {{connector: database, config: {{url: "sqlite:///{home}/{tenant}.db"}}}}
  copies: {{connector: database, config: {{url: "sqlite:///{home}/{tenant}-copies.db"}}}}
  shop: {{connector: database, config: {{url: "{shop}"}}}}
syncs:
  lite_log: {{source: notes, destination: copies, dataset: main, {log}, {retry}}}
  lite_stock: {{source: notes, destination: copies, dataset: main, {stock}, {retry}}}
  log: {{source: shop, destination: shop, dataset: {tenant}_copies, {pg_log}, {retry}}}
  stock: {{source: shop, destination: shop, dataset: {tenant}_copies, {pg_stock}, {retry}}}
"""
RETRY = "retry: {max_attempts: 20, initial: 1s, factor: 1.5, ceiling: 3s, jitter: 0.2}"
LOG = "sync_mode: incremental, cursor_field: id, write_mode: append"
STOCK = "sync_mode: incremental, cursor_field: changed, write_mode: upsert"
SYNCS = ("lite_log", "lite_stock", "log", "stock")

TABLES = (
    "CREATE TABLE {schema}log (id bigint PRIMARY KEY, note text)",
    "CREATE TABLE {schema}stock (id bigint PRIMARY KEY, changed bigint, amount bigint)",
)
CHANGES = {
    "log": (
        "INSERT INTO {schema}log SELECT max(id) + 1, 'one more' FROM {schema}log",
        "INSERT INTO {schema}log SELECT max(id) + 1, 'another' FROM {schema}log",
    ),
    "stock": (
        "INSERT INTO {schema}stock SELECT max(id) + 1, max(changed) + 1, 1 FROM {schema}stock",
        "UPDATE {schema}stock SET amount = amount + 1, "
        "changed = (SELECT max(changed) + 1 FROM {schema}stock) WHERE id % 97 = 5",
    ),
}


def manifest(home: Path, tenant: str, shop: str) -> str:
    """A tenant's four syncs: a log that grows and a stock that changes, in either system."""

    def stream(name: str, how: str) -> str:
        return f"streams: [{{name: {name}, {how}}}]"

    return MANIFEST.format(
        tenant=tenant,
        home=home,
        shop=shop,
        retry=RETRY,
        log=stream("log", LOG),
        stock=stream("stock", STOCK),
        pg_log=stream(f"{tenant}.log", LOG),
        pg_stock=stream(f"{tenant}.stock", STOCK),
    )


@dataclass(frozen=True, slots=True)
class Data:
    """What the tenants' systems hold."""

    home: Path
    shop: str

    def fill(self) -> None:
        numbers = range(1, FIRST_ROWS + 1)
        for tenant in TENANTS:
            with closing(sqlite3.connect(self.home / f"{tenant}.db")) as notes, notes:
                for table in TABLES:
                    notes.execute(table.format(schema=""))
                notes.executemany("INSERT INTO log VALUES (?, 'first')", [(n,) for n in numbers])
                rows = [(n, n) for n in numbers]
                notes.executemany("INSERT INTO stock VALUES (?, ?, 0)", rows)
            with psycopg.connect(self.shop) as shop:
                shop.execute(f"CREATE SCHEMA {tenant}")  # type: ignore[arg-type]
                for table in TABLES:
                    shop.execute(table.format(schema=f"{tenant}."))  # type: ignore[arg-type]
                series = f"generate_series(1, {FIRST_ROWS}) n"
                for statement in (
                    f"INSERT INTO {tenant}.log SELECT n, 'first' FROM {series}",
                    f"INSERT INTO {tenant}.stock SELECT n, n, 0 FROM {series}",
                ):
                    shop.execute(statement)  # type: ignore[arg-type]

    def change(self, tenant: str, sync: str) -> None:
        """New and changed rows in what a sync reads, however often that has to be tried."""
        table = sync.removeprefix("lite_")
        lite = sync.startswith("lite_")
        statements = [
            statement.format(schema="" if lite else f"{tenant}.") for statement in CHANGES[table]
        ]
        if lite:
            with closing(sqlite3.connect(self.home / f"{tenant}.db", timeout=30)) as notes, notes:
                for statement in statements:
                    notes.execute(statement)
        else:
            patiently(lambda: self._change_shop(statements))

    def pair(self, tenant: str, sync: str) -> tuple[list[tuple[object, ...]], ...]:
        """A sync's source and its destination, each row as it is."""
        table = sync.removeprefix("lite_")
        columns = "id, note" if table == "log" else "id, changed, amount"
        query = f"SELECT {columns} FROM {{}}{table} ORDER BY id"
        if not sync.startswith("lite_"):
            with psycopg.connect(self.shop) as shop:
                return tuple(
                    shop.execute(query.format(schema)).fetchall()  # type: ignore[arg-type]
                    for schema in (f"{tenant}.", f"{tenant}_copies.")
                )
        found = []
        for name, prefix in ((f"{tenant}.db", ""), (f"{tenant}-copies.db", "main__")):
            with closing(sqlite3.connect(self.home / name)) as file:
                found.append(file.execute(query.format(prefix)).fetchall())
        return tuple(found)

    def _change_shop(self, statements: list[str]) -> None:
        with psycopg.connect(self.shop) as shop:
            for statement in statements:
                shop.execute(statement)  # type: ignore[arg-type]


def patiently(act: Callable[[], object]) -> None:
    """Do something in the database, again if its server is just down."""

    def done() -> bool:
        with suppress(psycopg.OperationalError):
            act()
            return True
        return False

    assert wait_until(done, seconds=90, every=0.2)

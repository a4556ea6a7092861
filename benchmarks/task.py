"""What is measured, and what came out: the words between the parent and its children."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path


class Work(StrEnum):
    """What a child process does.

    ``copy`` moves one stream once; ``pass`` moves it again and again with nothing new,
    through the connectors alone, and ``execution`` through the engine and its catalog.
    ``psql_to_duckdb`` is a peer: CSV out of psql, read by DuckDB. ``turn`` is a
    dispatcher's, with ``due`` schedules due of ten times as many; ``crowd`` plays ten
    minutes of tenants beside one that has ``due`` executions waiting, and its seconds are
    how long the others wait. ``lateness`` waits for Dagster's daemon to claim ``due``
    schedules of ten times as many; its samples are how late each was. ``runs`` launches
    Dagster runs that do nothing, ``queue`` fills Dagster's queue with ``due`` of them,
    ``rush`` lets ``due`` syncs with nothing to do fall due in one minute. ``webhooks``
    posts ``times`` webhooks while ``due`` other syncs go on; its samples are the seconds
    until the row that each is about is committed at the destination. ``flood`` sends
    ``times`` of them to ``gateways``, ``due`` a second, or if that is 0 as many as they take.
    ``pages``
    reads a REST API whose URL is the source, ``file`` one file into a new table. ``ask``
    asks the API of a catalog with ``due`` schedules. ``deliver`` sends ``due`` webhooks that
    wait, and then ``times`` that come one after the other.
    """

    COPY = "copy"
    PASS = "pass"
    EXECUTION = "execution"
    PSQL_TO_DUCKDB = "psql_to_duckdb"
    TURN = "turn"
    CROWD = "crowd"
    LATENESS = "lateness"
    RUNS = "runs"
    QUEUE = "queue"
    RUSH = "rush"
    WEBHOOKS = "webhooks"
    FLOOD = "flood"
    PAGES = "pages"
    FILE = "file"
    ASK = "ask"
    DELIVER = "deliver"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One piece of work for a child process."""

    work: Work
    source: str
    destination: str
    dataset: str = ""
    incremental: bool = False
    arrow: bool = False
    row_filter: str | None = None
    times: int = 1
    due: int = 0
    gateways: int = 1
    catalog: str = ""
    target: str = ""
    psql: str = ""
    stock: bool = False

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> "Task":
        """What `text` wrote."""
        values = json.loads(text)
        return cls(**{**values, "work": Work(values["work"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What one run took.

    ``peak_mb`` counts shared libraries, ``own_mb`` only what no other process shares;
    ``samples`` are the seconds of each repetition of work that is done many times,
    ``figures`` what else was counted, by a name that holds the unit.
    """

    seconds: float
    cpu_seconds: float
    peak_mb: float
    own_mb: float | None = None
    processed: int = 0
    samples: Sequence[float] = field(default_factory=tuple)
    figures: Mapping[str, float] = field(default_factory=dict)

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> "Measure":
        """What `text` wrote."""
        return cls(**json.loads(text))


def peak_mb(pid: int | str = "self") -> float:
    """The most memory a process has held; 0 once it has ended.

    Not ``ru_maxrss``: that of a child begins with its parent's.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(found[0]) / 1024 if found else 0.0

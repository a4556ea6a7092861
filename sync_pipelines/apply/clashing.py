"""Which lines of a file stand for conflicts that it would bring about. Pure."""

from collections.abc import Iterable, Iterator

from sync_pipelines.apply.changes import Plan
from sync_pipelines.apply.manifest import Manifest
from sync_pipelines.apply.problems import Problem
from sync_pipelines.catalog.conflicts import Conflict
from sync_pipelines.timing.clashes import Kind


def conflict_problems(
    manifest: Manifest, plan: Plan, conflicts: Iterable[Conflict]
) -> Iterator[Problem]:
    """Each conflict as a mistake of the file, in the line that is to be changed."""
    lines = _Lines(manifest, plan)
    for conflict in conflicts:
        yield Problem(line=lines.of(conflict), message=conflict.sentence)


class _Lines:
    """Where everything that a file names stands; what it changes goes first."""

    def __init__(self, manifest: Manifest, plan: Plan) -> None:
        tenant = manifest.tenant
        self._schedules = {
            f"{tenant}/{sync.name}/{one.name}": one.line
            for sync in manifest.syncs
            for one in sync.schedules
        }
        self._syncs = {f"{tenant}/{sync.name}": sync.line for sync in manifest.syncs}
        self._connections = {f"{tenant}/{one.name}": one.line for one in manifest.connections}
        self._changed = {(change.kind, change.name) for change in plan.changes}

    def of(self, conflict: Conflict) -> int:
        """The last line that is concerned, of the kind that says most."""
        schedules = list(conflict.schedules)
        syncs = [key.rpartition("/")[0] for key in schedules]
        if conflict.kind is Kind.SHARED_TABLE:
            concerned = (self._near("sync", syncs), self._near("schedule", schedules))
        else:
            concerned = (self._near("schedule", schedules), self._near("sync", syncs))
        everything = (
            self._near("schedule", [*self._schedules]),
            self._near("sync", [*self._syncs]),
            self._near("connection", [*self._connections]),
        )
        changed = [line for line, is_changed in (*concerned, *everything) if line and is_changed]
        there = [line for line, _ in concerned if line]
        return (changed or there or [1])[0]

    def _near(self, kind: str, names: list[str]) -> tuple[int, bool]:
        """The last line of these, and whether that is changed; 0 if the file has none."""
        lines = {
            "schedule": self._schedules,
            "sync": self._syncs,
            "connection": self._connections,
        }[kind]
        found = [name for name in names if name in lines]
        changed = [name for name in found if (kind, name) in self._changed]
        return max((lines[name] for name in changed or found), default=0), bool(changed)

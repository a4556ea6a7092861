"""What a commit does to the target, under the lock: fit, merge or adopt, delete.

Laws: counts tell what has changed, not what was written; a read that came back empty
empties nothing unless the tenant has allowed it.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from connectors import deleting
from connectors.contract import ColumnChanges, Counts, Deletes, Rejection, Target, WriteMode
from connectors.errors import ConfigError, EmptySourceError
from connectors.sql import merge
from connectors.sql.names import TableName
from connectors.sql.rejected import RejectedTable
from connectors.sql.rejected import keyless as keyless_records
from connectors.sql.store import (
    DELETED_AT,
    Kind,
    Match,
    Merged,
    Plan,
    Staging,
    Store,
    changes,
    chosen,
    plan_of,
)
from connectors.sql.tables import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """What follows from a target once and for all.

    ``once`` says that one commit, the finishing one, must bring everything; ``merges`` that
    a record which the target has already changes nothing.
    """

    replaces: bool
    deletes: bool
    soft: bool
    keyed: bool
    once: bool
    merges: bool

    @classmethod
    def of(cls, target: Target) -> "Manner":
        """`ConfigError` when the target lacks what its write mode needs."""
        upserts = target.write_mode is WriteMode.UPSERT
        replaces = target.write_mode is WriteMode.REPLACE
        if upserts and not target.primary_key:
            raise ConfigError(
                f"{target.stream!r} has no primary key, so records cannot be upserted; "
                "name key columns, or write with append or replace"
            )
        deletes = upserts and target.complete and target.deletes is not Deletes.KEEP
        appends = target.write_mode is WriteMode.APPEND
        return cls(
            replaces=replaces,
            deletes=deletes,
            soft=upserts and target.deletes is Deletes.SOFT,
            keyed=bool(target.primary_key) and not appends,
            once=replaces or (appends and not target.distinct),
            merges=upserts and target.deletes is not Deletes.SOFT and not deletes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What a commit finds: what was staged, the table as it is, and its columns to be.

    ``any_staged`` looks back over the whole read, ``processed`` over this commit only.
    ``rejects`` tells that this commit has rejected records. ``gone`` has the keys that the
    source says are gone; ``deleted`` records of this execution were deleted by earlier commits.
    """

    staging: Staging | None
    present: Table | None
    plan: Plan
    processed: int
    any_staged: bool
    at: datetime
    rejects: bool = False
    gone: TableName | None = None
    deleted: int = 0

    def changes(self, before: ColumnChanges) -> ColumnChanges:
        """What has happened to the columns of the table, with what had before."""
        if self.present is None:
            return before
        added, widened = changes(plan_of(self.present), self.plan)
        new = (one.name for one in added if one.name != DELETED_AT)
        wider = (one.name for one in widened)
        return ColumnChanges(
            added=tuple(dict.fromkeys((*before.added, *new))),
            widened=tuple(dict.fromkeys((*before.widened, *wider))),
        )


class Merger:
    """Brings one target from one commit to the next; remembers the keys it has seen."""

    def __init__(
        self,
        store: Store,
        target: Target,
        *,
        manner: Manner,
        name: TableName,
        aside: RejectedTable,
    ) -> None:
        self._store = store
        self._aside = aside
        self._target = target
        self._manner = manner
        self._name = name
        self._seen: TableName | None = None
        self.keyless: Sequence[Rejection] = ()
        """Records of the last commit that had no key, as far as they are kept."""

    def apply(self, now: Situation, *, finished: bool) -> Counts:
        """Make the staged records the target's; what that created, updated, deleted, rejected."""
        staging = now.staging
        self.keyless = ()
        if staging is None and now.gone is None and not finished:
            return Counts()
        if finished:
            self._refuse_emptying(now)
        if staging is None:
            self._shape(now)
            if self._manner.replaces and now.present is not None:
                self._store.execute(f"DELETE FROM {self._name.sql}")
            return self._delete(now, None, finished=finished)
        gone = self._drop_gone(now, staging)
        keyless, repeated = self._fit(staging)
        kept = now.processed - keyless - gone
        if staging.direct and self._store.loads_directly(now.present):
            replacing = now.present is not None
            self._store.adopt(staging, self._name, replacing=replacing)
            done = Counts(created=kept - repeated)
            done += self._delete(now, self._name, finished=finished)
        else:
            self._shape(now)
            merged = self._merge(now, staging)
            done = Counts(created=merged.created, updated=merged.updated)
            done += self._delete(now, staging.name, finished=finished)
            if staging.direct:
                self._store.execute(f"DROP TABLE {staging.name.sql}")
        return done + Counts(processed=-keyless, rejected=keyless)

    def _refuse_emptying(self, now: Situation) -> None:
        empties = self._manner.replaces or self._manner.deletes
        if not empties or now.any_staged or self._target.allow_empty or now.present is None:
            return
        marked = now.present.column(DELETED_AT) is not None
        if self._store.rows(merge.any_row(self._name, marked=marked)):
            raise EmptySourceError(
                f"{self._target.stream!r} came back empty, and writing that would empty "
                f"{self._target.table!r}; if it is meant, allow empty sources for this sync"
            )

    def _fit(self, staging: Staging) -> tuple[int, int]:
        """Make the key hold in what was staged: rows without one, and rows that repeat one."""
        key, cursor = self._target.primary_key, self._target.cursor_field
        cursor = cursor if cursor in staging.columns else None
        if self._manner.keyed:
            self._require_staged(key, staging)
            if self._has_key(staging):
                return 0, 0
            keyless = self._drop_keyless(staging)
            older = merge.drop_older(self._store.spelling, staging, key, cursor=cursor)
            repeated = self._store.execute(older)
            if staging.direct:
                self._store.add_key(staging.name, key)
            return keyless, repeated
        if not (staging.direct and self._target.distinct and key):
            return 0, 0
        same = (*key, cursor) if cursor else staging.columns
        repeats = merge.repeats(self._store.spelling, staging, same)
        if not self._store.rows(repeats):
            return 0, 0
        older = merge.drop_older(self._store.spelling, staging, same, cursor=None)
        return 0, self._store.execute(older)

    def _drop_keyless(self, staging: Staging) -> int:
        key = self._target.primary_key
        self.keyless = keyless_records(self._store, staging, key)
        return self._store.execute(merge.drop_keyless(staging, key)) if self.keyless else 0

    def _require_staged(self, key: tuple[str, ...], staging: Staging) -> None:
        for name in key:
            if name not in staging.columns:
                known = ", ".join(staging.columns)
                raise ConfigError(
                    f"key column {name!r} is not among the columns of {self._target.stream!r}; "
                    f"there are: {known}"
                )

    def _has_key(self, staging: Staging) -> bool:
        if staging.direct:
            return self._store.add_key(staging.name, self._target.primary_key)
        misfits = merge.misfits(self._store.spelling, staging, self._target.primary_key)
        return not self._store.rows(misfits)

    def _shape(self, now: Situation) -> None:
        """Create the target, or add to and widen its columns; and where rejected ones go."""
        plan = now.plan
        if now.rejects or self.keyless:
            self._aside.require()
        if now.present is None:
            if plan:
                self._store.ensure_dataset(self._target.dataset)
                key = self._target.primary_key if self._manner.keyed else ()
                self._store.create(self._name, plan, key, kind=Kind.REAL)
            return
        self._store.evolve(self._name, plan_of(now.present), plan)
        if self._target.write_mode is WriteMode.UPSERT:
            self._store.require_key(now.present, self._target.primary_key)

    def _merge(self, now: Situation, staging: Staging) -> Merged:
        spelling, mode = self._store.spelling, self._target.write_mode
        if mode is WriteMode.UPSERT:
            return self._store.upsert(self._name, staging, self._match(now, staging))
        if mode is WriteMode.REPLACE:
            self._store.execute(f"DELETE FROM {self._name.sql}")
        elif self._target.distinct:
            match = self._match(now, staging)
            distinct = merge.insert_distinct(spelling, self._name, staging, match=match)
            return Merged(created=self._store.execute(distinct))
        return Merged(created=self._store.execute(merge.insert_all(self._name, staging)))

    def _match(self, now: Situation, staging: Staging) -> Match:
        cursor = self._target.cursor_field
        marked = any(column.name == DELETED_AT for column in now.plan)
        return Match(
            key=self._target.primary_key,
            cursor=cursor if cursor in staging.columns else None,
            clears=marked and DELETED_AT not in staging.columns,
            mostly_same=self._target.complete,
        )

    def _drop_gone(self, now: Situation, staging: Staging) -> int:
        """Take out what was staged before the source said that it is gone."""
        if now.gone is None:
            return 0
        key = self._target.primary_key
        spelling = self._store.spelling
        return self._store.execute(merge.delete_gone(spelling, staging.name, now.gone, key))

    def _delete(self, now: Situation, staged: TableName | None, *, finished: bool) -> Counts:
        """Delete or mark what is gone, unless it is too much to be done unasked."""
        deleted = self._delete_told(now, staged) + self._delete_unseen(now, staged, finished)
        total = now.deleted + deleted
        # Where nothing came at all, the tenant has allowed the source to be empty.
        allowed = not now.any_staged and self._target.allow_empty
        if deleted and not allowed and deleting.asks(self._target, total):
            marked = any(column.name == DELETED_AT for column in now.plan)
            left = self._store.rows(merge.count_rows(self._name, marked=marked))[0][0]
            deleting.refuse_many(self._target, deleted=total, left=int(left))
        return Counts(deleted=deleted)

    def _delete_told(self, now: Situation, staged: TableName | None) -> int:
        """Those that the source has told of."""
        if now.gone is None or (now.present is None and staged is None):
            return 0
        key = self._target.primary_key
        if self._manner.soft:
            statement = merge.mark_gone(
                self._name, now.gone, key, at=self._store.spelling.instant(now.at)
            )
        else:
            statement = merge.delete_gone(self._store.spelling, self._name, now.gone, key)
        return self._store.execute(statement)

    def _delete_unseen(self, now: Situation, staged: TableName | None, finished: bool) -> int:
        """Remember which keys came; at the end, those that did not."""
        key = self._target.primary_key
        if not self._manner.deletes:
            return 0
        if staged is not None and (self._seen is not None or not finished):
            self._remember(now, staged)
        if not finished or now.present is None:
            return 0
        seen = self._seen or staged
        if self._manner.soft:
            at = self._store.spelling.instant(now.at)
            statement = merge.mark_unseen(self._name, seen, key, at=at)
        else:
            statement = merge.delete_unseen(self._store.spelling, self._name, seen, key)
        return self._store.execute(statement)

    def _remember(self, now: Situation, staged: TableName) -> None:
        key = self._target.primary_key
        if self._seen is None:
            self._seen = TableName(table=f"_seen_{secrets.token_hex(4)}")
            self._store.create(self._seen, chosen(now.plan, key), (), kind=Kind.KEPT)
        self._store.execute(merge.remember_keys(self._seen, staged, key))

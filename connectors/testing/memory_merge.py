"""How staged records join stored ones, by write mode: pure functions on plain records.

Laws: two values are the same when they are spelled the same, so that NaN is itself
and an integer is never a float; a column that the staged records lack is left alone.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeAlias

from connectors.contract import Counts, Deletes, Rejection, Target, WriteMode
from connectors.deleting import refuse_many
from connectors.errors import EmptySourceError
from connectors.payload import rejection
from connectors.testing.memory_source import Record

DELETED_AT = "_deleted_at"

Key: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """The records as they will be stored, and what became of the staged ones."""

    records: Sequence[Record]
    counts: Counts = field(default_factory=Counts)
    rejected: Sequence[Rejection] = ()


def merged(
    target: Target,
    stored: Sequence[Record],
    staged: Sequence[Record],
    *,
    complete: bool,
    now: datetime,
    gone: Collection[Key] = (),
    deleted_before: int = 0,
) -> Merge:
    """Join them as the target says. ``complete``: every record there is has been staged.

    ``gone`` are keys that the source says are deleted, after all that was staged of them.
    """
    came, staged = staged, [one for one in staged if key_of(one, target) not in gone]
    deletes = complete and target.deletes is not Deletes.KEEP
    _refuse_emptying(target, stored, staged, deletes=deletes)
    keyed = target.primary_key and target.write_mode is not WriteMode.APPEND
    keyless = [record for record in staged if keyed and _lacks_key(record, target)]
    if target.write_mode is WriteMode.APPEND:
        new = _new(target, stored, staged) if target.distinct else list(staged)
        merge = Merge(records=[*stored, *new], counts=Counts(created=len(new)))
    elif target.write_mode is WriteMode.REPLACE:
        merge = _upserted(target, [], staged) if keyed else _all(staged)
    else:
        merge = _upserted(target, stored, staged)
        merge = _without(target, merge, now, lambda key: key in gone) if gone else merge
        if deletes:
            found = {key_of(record, target) for record in staged}
            merge = _without(target, merge, now, lambda key: key not in found)
        if came or not target.allow_empty:
            _refuse_many(target, merge, deleted_before)
    lost = len(keyless)
    counts = replace(merge.counts, processed=len(came) - lost, rejected=lost)
    reason = f"its key ({', '.join(target.primary_key)}) is NULL"
    rejected = [rejection(record, target.primary_key, reason) for record in keyless]
    return Merge(records=merge.records, counts=counts, rejected=rejected)


def _refuse_emptying(
    target: Target, stored: Sequence[Record], staged: Sequence[Record], *, deletes: bool
) -> None:
    empties = target.write_mode is WriteMode.REPLACE or deletes
    alive = any(record.get(DELETED_AT) is None for record in stored)
    if empties and alive and not staged and not target.allow_empty:
        raise EmptySourceError(
            f"stream {target.stream!r} came back empty and would empty {target.table!r}; "
            "check the source, or allow_empty if it is right"
        )


def _same(record: Record, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(repr(record.get(name)) for name in names)


def key_of(record: Record, target: Target) -> Key:
    """What tells a record from others."""
    return _same(record, target.primary_key)


def _lacks_key(record: Record, target: Target) -> bool:
    return any(record.get(name) is None for name in target.primary_key)


def _all(staged: Sequence[Record]) -> Merge:
    return Merge(records=staged, counts=Counts(created=len(staged)))


def _new(target: Target, stored: Sequence[Record], staged: Sequence[Record]) -> list[Record]:
    """The staged records to add: those whose key and cursor are new, or rows beyond their twins."""
    if target.primary_key:
        names = (*target.primary_key, *_cursor(target))
        known = {_same(record, names) for record in stored}
        fresh = {_same(r, names): r for r in staged if _same(r, names) not in known}
        return list(fresh.values())
    columns = sorted({name for record in staged for name in record})
    twins, new = Counter(_same(record, columns) for record in stored), []
    for record in staged:
        if twins[_same(record, columns)]:
            twins[_same(record, columns)] -= 1
        else:
            new.append(record)
    return new


def _cursor(target: Target) -> tuple[str, ...]:
    return () if target.cursor_field is None else (target.cursor_field,)


def _upserted(target: Target, stored: Sequence[Record], staged: Sequence[Record]) -> Merge:
    """One record a key: the newest by cursor, and of equally new ones the last to arrive."""
    before = {_same(record, target.primary_key): record for record in stored}
    newest: dict[tuple[str, ...], Record] = {}
    for record in staged:
        key = _same(record, target.primary_key)
        older = key in newest and _is_older(record, newest[key], target)
        if not older and not _lacks_key(record, target):
            newest[key] = record
    changed = {
        key: {**before.get(key, {}), DELETED_AT: None, **record}
        for key, record in newest.items()
        if key not in before or _replaces(record, before[key], target)
    }
    created = len(changed.keys() - before.keys())
    return Merge(
        records=list({**before, **changed}.values()),
        counts=Counts(created=created, updated=len(changed) - created),
    )


def _is_older(record: Record, than: Record, target: Target) -> bool:
    """By the cursor, where both have one."""
    for name in _cursor(target):
        one, other = record.get(name), than.get(name)
        return one is not None and other is not None and bool(one < other)
    return False


def _replaces(record: Record, held: Record, target: Target) -> bool:
    """Whether storing ``record`` would change anything for the better."""
    if held.get(DELETED_AT) is not None:
        return True
    return not _is_older(record, held, target) and _same(record, record) != _same(held, record)


def _without(target: Target, merge: Merge, now: datetime, is_gone: Callable[[Key], bool]) -> Merge:
    """Records that are gone are marked, or removed."""
    kept: list[Record] = []
    deleted = 0
    for record in merge.records:
        if not is_gone(key_of(record, target)) or record.get(DELETED_AT) is not None:
            kept.append(record)
            continue
        deleted += 1
        if target.deletes is Deletes.SOFT:
            kept.append({**record, DELETED_AT: now})
    counts = merge.counts + Counts(deleted=deleted)
    return Merge(records=kept, counts=counts)


def _refuse_many(target: Target, merge: Merge, before: int) -> None:
    left = sum(record.get(DELETED_AT) is None for record in merge.records)
    if merge.counts.deleted:
        refuse_many(target, deleted=before + merge.counts.deleted, left=left)

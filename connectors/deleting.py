"""When deleting stops for a person: decided alike for every destination.

Law: nothing of what was refused is committed, and a confirmation holds for one execution.
"""

from connectors.contract import Target
from connectors.errors import TooManyDeletesError

FEW = 10
"""So many records may always be deleted, however small the dataset."""


def asks(target: Target, deleted: int) -> bool:
    """Whether so many deletions must be held against the size of the dataset."""
    return deleted > FEW and not target.confirm_deletes


def refuse_many(target: Target, *, deleted: int, left: int) -> None:
    """`TooManyDeletesError` if too large a share goes; ``left`` records are not deleted."""
    before = deleted + left
    if not asks(target, deleted) or deleted * 100 <= before * target.most_deleted_percent:
        return
    raise TooManyDeletesError(
        f"{deleted} of {before} records of {target.stream!r} are gone at the source, more than "
        f"{target.most_deleted_percent} %, so nothing was changed; if that is right, confirm it "
        f"for one execution with `sync-pipelines trigger {target.owner} --confirm-deletes`"
    )

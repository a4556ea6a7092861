"""What a target asks of whoever writes it, decided alike for every destination.

Law: a read that came back empty empties nothing unless the tenant has allowed it.
"""

from __future__ import annotations

from dataclasses import dataclass

from connectors.contract import Deletes, Target, WriteMode
from connectors.errors import ConfigError, ContractError, EmptySourceError


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """What follows from a target once and for all.

    ``once`` says that one commit, the finishing one, must bring everything; ``merges`` that
    a record which the target has already changes nothing.
    """

    replaces: bool
    appends: bool
    deletes: bool
    soft: bool
    keyed: bool
    once: bool
    merges: bool

    @classmethod
    def of(cls, target: Target) -> Manner:
        """`ConfigError` when the target lacks what its write mode needs."""
        if target.write_mode is WriteMode.UPSERT and not target.primary_key:
            raise ConfigError(
                f"{target.stream!r} has no primary key, so records cannot be upserted; "
                "name key columns, or write with append or replace"
            )
        replaces = target.write_mode is WriteMode.REPLACE
        appends = target.write_mode is WriteMode.APPEND
        upserts = not replaces and not appends
        deletes = target.heeds_deletes and target.complete
        soft = upserts and target.deletes is Deletes.SOFT
        return cls(
            replaces=replaces,
            appends=appends,
            deletes=deletes,
            soft=soft,
            keyed=bool(target.primary_key) and not appends,
            once=replaces or (appends and not target.distinct),
            merges=upserts and not soft and not deletes,
        )

    def refuse_part(self, target: Target, *, finished: bool) -> None:
        """`ContractError` for a commit in the middle of what must be written as a whole."""
        if self.once and not finished:
            raise ContractError(
                f"writing {target.stream!r} as a whole takes one commit, the finishing one"
            )


def emptying(target: Target) -> EmptySourceError:
    """What to raise where nothing came, and writing that would delete what is there."""
    return EmptySourceError(
        f"{target.stream!r} came back empty, and writing that would empty {target.table!r}; "
        "if it is meant, allow empty sources for this sync"
    )

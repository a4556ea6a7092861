"""What can go wrong; the tree is drawn in the package."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    """One thing that is wrong; ``field`` is its path, empty for the whole."""

    field: str
    message: str


class SyncError(Exception):
    """Root of every error of this package."""


class UnreachableError(SyncError):
    """The gateway gave no answer."""


class ApiError(SyncError):
    """The gateway refused. Say ``request_id`` when you ask for help: its log has it too."""

    def __init__(
        self, status: int, detail: str, *, errors: Sequence[FieldError], request_id: str | None
    ) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.request_id = request_id


class NotFoundError(ApiError):
    """It is not there, or not yours."""


class ConflictError(ApiError):
    """It cannot stand beside what there is, or is over."""


class ChangedError(ApiError):
    """Somebody has changed it since it was seen."""

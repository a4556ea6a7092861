"""What one tenant may use, so that none slows another."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantLimits:
    """The most a tenant may have; None is without limit of its own.

    ``concurrent`` executions at a time, ``schedules`` in all, ``executions_per_hour``
    that no person asked for or that one did.
    """

    concurrent: int | None = None
    schedules: int | None = None
    executions_per_hour: int | None = None

    def __post_init__(self) -> None:
        for name in ("concurrent", "schedules", "executions_per_hour"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} {value} must be at least 1; leave it out for no limit")

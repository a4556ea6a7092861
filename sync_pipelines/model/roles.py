"""What somebody may do for a tenant."""

from enum import StrEnum


class Role(StrEnum):
    """Each may do what those before it may: look, operate what there is, change everything."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def allows(self, needed: "Role") -> bool:
        """Whether who has this role may do what needs that one."""
        order = list(Role)
        return order.index(self) >= order.index(needed)

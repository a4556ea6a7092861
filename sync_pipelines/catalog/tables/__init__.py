"""The catalog's tables, in PostgreSQL schema ``sync``."""

from sync_pipelines.catalog.tables.base import SCHEMA, Base
from sync_pipelines.catalog.tables.configured import ConnectionRow, ScheduleRow, SyncRow, TenantRow
from sync_pipelines.catalog.tables.happened import (
    AuditHeadRow,
    AuditRow,
    DayRow,
    EventRow,
    ExecutionRow,
    StateRow,
    SummaryRow,
)
from sync_pipelines.catalog.tables.hooks import DeliveryRow, EndpointRow
from sync_pipelines.catalog.tables.identity import (
    FirstAdminLinkRow,
    IdempotencyRow,
    MembershipRow,
    SessionRow,
    SignInFailureRow,
    TokenRow,
    UserRow,
)
from sync_pipelines.catalog.tables.lent import AuthorizationRow, BudgetRow, ConnectionTokenRow
from sync_pipelines.catalog.tables.notify import (
    AffectedRow,
    InboxRow,
    OutboxRow,
    PreferenceRow,
    RuleRow,
)
from sync_pipelines.catalog.tables.reasons import (
    BreakerRow,
    ConflictRow,
    DeadLetterRow,
    DecisionRow,
)
from sync_pipelines.catalog.tables.watched import HeartbeatRow, IncidentRow

__all__ = [
    "SCHEMA",
    "AffectedRow",
    "AuditHeadRow",
    "AuditRow",
    "AuthorizationRow",
    "Base",
    "BreakerRow",
    "BudgetRow",
    "ConflictRow",
    "ConnectionRow",
    "ConnectionTokenRow",
    "DayRow",
    "DeadLetterRow",
    "DecisionRow",
    "DeliveryRow",
    "EndpointRow",
    "EventRow",
    "ExecutionRow",
    "FirstAdminLinkRow",
    "HeartbeatRow",
    "IdempotencyRow",
    "InboxRow",
    "IncidentRow",
    "MembershipRow",
    "OutboxRow",
    "PreferenceRow",
    "RuleRow",
    "ScheduleRow",
    "SessionRow",
    "SignInFailureRow",
    "StateRow",
    "SummaryRow",
    "SyncRow",
    "TenantRow",
    "TokenRow",
    "UserRow",
]

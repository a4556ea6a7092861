"""What helps against which failure: a table, from the error's class and what it says.

Law: the first row that fits counts; rows that know a code stand before those that know
the class alone. A remedy is one sentence that a tenant can act on.
"""

import re
from dataclasses import dataclass

from sync_pipelines.catalog.history import HistoryEntry
from sync_pipelines.engine.outcome import ErrorClass
from sync_pipelines.model.execution import Status


@dataclass(frozen=True, slots=True)
class Row:
    """What helps, where the error is of a class (None: any) and says something (None: any)."""

    error_class: ErrorClass | None
    says: str | None
    remedy: str


_C = ErrorClass

ROWS = (
    # PostgreSQL's SQLSTATE codes (appendix A of its manual) and the words beside them.
    Row(None, r"28P01|password authentication failed", "Give the connection the right password."),
    Row(
        None,
        r"28000|no pg_hba\.conf entry",
        "Let the database server accept this host, user and encryption (pg_hba.conf).",
    ),
    Row(
        None,
        r"42501|permission denied for|insufficient.privilege",
        "Grant the connection's user the right that the message names.",
    ),
    Row(
        None,
        r"42P01|relation .* does not exist|no such table",
        "Create the table again, or take its stream out of the sync.",
    ),
    Row(
        None,
        r"42703|column .* does not exist",
        "A column is gone from the source: bring it back, or take it out of the sync.",
    ),
    Row(None, r"3D000|database .* does not exist", "Name a database that exists."),
    Row(
        None,
        r"53100|No space left on device|disk full",
        "Make room on the destination's disk; the next execution goes on where this one stopped.",
    ),
    Row(
        None,
        r"53300|too many (clients|connections)",
        "Let fewer executions use that system at once (most_at_once), or allow it more "
        "connections.",
    ),
    Row(
        None,
        r"57P0[123]|the database system is (starting up|shutting down)",
        "Nothing, if the server is being restarted; else look at why it is down.",
    ),
    # HTTP's status codes (RFC 9110, 15).
    Row(
        None,
        r"invalid_grant|token (has )?expired|refresh token",
        "Connect the account again: its permission has expired or was withdrawn.",
    ),
    Row(_C.AUTH, r"\b401\b", "Give the connection a valid key or token, or connect it again."),
    Row(
        _C.AUTH,
        r"\b403\b",
        "Give the key or account the permission (scope) that the message names.",
    ),
    Row(
        None,
        r"\b410\b|no longer (available|supported)",
        "The provider has retired this address: update the connector or the stream.",
    ),
    Row(
        _C.CONFIG,
        r"\b404\b",
        "Check the name or address that the message gives: the provider does not know it.",
    ),
    Row(
        None,
        r"certificate|CERTIFICATE_VERIFY_FAILED|SSL",
        "Have the other side renew its certificate, or give the connection its authority's.",
    ),
    Row(
        None,
        r"could not translate host name|cannot be resolved|Name or service not known",
        "Check the host name; if it is right, look at the name server.",
    ),
    Row(
        None,
        r"Connection refused|ECONNREFUSED",
        "Start the system, or correct host and port: nothing listens there.",
    ),
    Row(
        None,
        r"timed? ?out",
        "Look at why the system answers slowly; a firewall that drops packets looks the same.",
    ),
    Row(
        None,
        r"is empty and would empty|came back empty",
        "If the source is meant to be empty, run once with --allow-empty; else look at it.",
    ),
    # What the class alone says.
    Row(_C.AUTH, None, "Connect again, or correct the connection's credentials."),
    Row(_C.CONFIG, None, "Correct what the message names, and apply it again."),
    Row(
        _C.RATE_LIMITED,
        None,
        "Run the sync less often, or ask the provider for a higher limit; it goes on by itself.",
    ),
    Row(
        _C.TRANSIENT,
        None,
        "Look at whether the system is up; the next execution tries again by itself.",
    ),
    Row(_C.DATA, None, "Look at the rejected records in the execution's details."),
    Row(
        _C.LOST,
        None,
        "Look at the machine's memory and at the run's log: the process was killed.",
    ),
    Row(_C.CONTRACT, None, "Report it: this is a fault of the connector, not of your data."),
    Row(_C.UNEXPECTED, None, "Report it with the execution's id: this is a fault of ours."),
    Row(_C.CANCELLED, None, "Nothing: somebody stopped it."),
)

OTHERWISE = "Look at the execution's details."


def remedy(error_class: str, message: str) -> str:
    """What to do about a failure, for the tenant."""
    for row in ROWS:
        if row.error_class is not None and row.error_class != error_class:
            continue
        if row.says is None or re.search(row.says, message, re.IGNORECASE):
            return row.remedy
    return OTHERWISE


def remedy_of(entry: HistoryEntry) -> str | None:
    """What to do about an execution; None where nothing went wrong, or nobody is needed."""
    if entry.error_message is None or entry.execution.status is Status.COMPLETED:
        return None
    details = entry.error_details or {}
    return remedy(str(details.get("error_class", ErrorClass.UNEXPECTED)), entry.error_message)

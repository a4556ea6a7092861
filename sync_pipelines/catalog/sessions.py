"""Sessions of browsers that are signed in, and how often signing in has failed.

Laws:

* A try is counted before the password is looked at, and taken back if it was right: a
  thousand tries at once are a thousand.
* An unknown user's failures count as a known one's: nobody learns who exists.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import delete, func, insert, select, text, update

from sync_pipelines.catalog.credentials import hash_of, new_secret
from sync_pipelines.catalog.tables import SessionRow, SignInFailureRow
from sync_pipelines.catalog.users import User, get_user

FORGOTTEN_AFTER = timedelta(days=1)
FIRST_LOCK = timedelta(seconds=30)
LONGEST_LOCK = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedSession:
    """A new session: the ``secret`` is for the browser's cookie, ``csrf`` for its pages."""

    secret: str
    csrf: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """Whose session it is."""

    user: User
    csrf: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whose failures are counted, and how many are free."""

    name: str
    free: int


def of_user(email: str) -> Subject:
    """The failures to sign in as somebody, from wherever."""
    return Subject(name=f"user:{email}", free=5)


def of_address(address: str) -> Subject:
    """The failures from an address, whoever was meant. Many people may share one."""
    return Subject(name=f"address:{address}", free=20)


def lock_of(failures: int, free: int) -> timedelta:
    """How long to wait after so many failures in a row: doubles with each beyond the free ones."""
    beyond = failures - free
    if beyond < 0:
        return timedelta(0)
    doubled: int = 2 ** min(beyond, 20)
    return min(LONGEST_LOCK, FIRST_LOCK * doubled)


def count_try(db: Db, subjects: Sequence[Subject], *, now: datetime) -> datetime | None:
    """Count a try to sign in, as if it failed; None, or until when nobody may try."""
    for subject in subjects:
        failures = db.execute(
            _COUNT, {"subject": subject.name, "now": now, "since": now - FORGOTTEN_AFTER}
        ).scalar_one_or_none()
        mine = SignInFailureRow.subject == subject.name
        if failures is None:
            return db.scalar(select(SignInFailureRow.locked_until).where(mine)) or now
        lock = lock_of(failures, subject.free)
        locked_until = now + lock if lock else None
        db.execute(update(SignInFailureRow).where(mine).values(locked_until=locked_until))
    return None


_COUNT = text(
    """
    INSERT INTO sync.sign_in_failures AS known (subject, failures, last_failed_at)
    VALUES (:subject, 1, :now)
    ON CONFLICT (subject) DO UPDATE SET
        failures = CASE WHEN known.last_failed_at < :since THEN 1 ELSE known.failures + 1 END,
        last_failed_at = :now
    WHERE known.locked_until IS NULL OR known.locked_until <= :now
    RETURNING failures
    """
)


def take_back(db: Db, *, user: Subject, address: Subject, now: datetime) -> None:
    """The try that was counted was right: forget the user's failures, and this one of the address.

    The address keeps its others: somebody with an account of their own must not wipe them out.
    """
    db.execute(delete(SignInFailureRow).where(SignInFailureRow.subject == user.name))
    values = {"failures": func.greatest(SignInFailureRow.failures - 1, 0), "locked_until": None}
    of_it = SignInFailureRow.subject == address.name
    db.execute(update(SignInFailureRow).where(of_it).values(values))
    old = SignInFailureRow.last_failed_at < now - FORGOTTEN_AFTER
    db.execute(delete(SignInFailureRow).where(old))


def open_session(db: Db, user_id: UUID, *, lasts: timedelta, now: datetime) -> OpenedSession:
    """A new session of a user, under a secret that nobody has seen before."""
    opened = OpenedSession(secret=new_secret(), csrf=new_secret(), expires_at=now + lasts)
    db.execute(delete(SessionRow).where(SessionRow.expires_at <= now))
    db.execute(
        insert(SessionRow).values(
            hash=hash_of(opened.secret),
            user_id=user_id,
            csrf=opened.csrf,
            created_at=now,
            expires_at=opened.expires_at,
        )
    )
    return opened


def find_session_for_all_tenants(db: Db, secret: str, *, now: datetime) -> SignedIn | None:
    """Who is signed in by this secret, or None. For all tenants: a session belongs to none."""
    query = select(SessionRow.user_id, SessionRow.csrf, SessionRow.expires_at).where(
        SessionRow.hash == hash_of(secret), SessionRow.expires_at > now
    )
    row = db.execute(query).one_or_none()
    user = None if row is None else get_user(db, row.user_id)
    if row is None or user is None:
        return None
    return SignedIn(user=user, csrf=row.csrf, expires_at=row.expires_at)


def close_session(db: Db, secret: str) -> None:
    """Sign out."""
    db.execute(delete(SessionRow).where(SessionRow.hash == hash_of(secret)))


def close_sessions_of(db: Db, user: User) -> None:
    """Sign a user out everywhere: their password has changed."""
    db.execute(delete(SessionRow).where(SessionRow.user_id == user.id))

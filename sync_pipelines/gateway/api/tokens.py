"""``/api/v2/tokens``: a tenant's tokens, for its admins."""

from datetime import datetime
from http import HTTPStatus
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from sync_pipelines.catalog import audit
from sync_pipelines.catalog.tokens import find_token, issue_token, list_tokens, revoke_token
from sync_pipelines.gateway.doors import ItsDoors
from sync_pipelines.gateway.identity import Admin
from sync_pipelines.gateway.problems import ProblemError, not_found
from sync_pipelines.model.roles import Role
from sync_pipelines.model.scopes import parse_scopes, within

router = APIRouter(prefix="/api/v2/tokens", tags=["identity"])


class TokenWanted(BaseModel):
    """A token to be made. Without ``scopes`` it is limited by its role alone."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": "nightly report", "role": "viewer", "scopes": ["reports:read"]}]
        },
    )

    name: str = Field(min_length=1, max_length=100)
    role: Role = Role.VIEWER
    scopes: list[str] = Field(default_factory=list, max_length=50)
    expires_at: AwareDatetime | None = None


class TokenTold(BaseModel):
    """A token, without what lets it in."""

    id: UUID
    name: str
    prefix: str
    role: Role
    scopes: list[str]
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class TokenIssued(TokenTold):
    """A new token; ``token`` is shown this once."""

    token: str


class Tokens(BaseModel):
    """A tenant's tokens, newest first."""

    items: list[TokenTold]


@router.get("")
def list_(caller: Admin) -> Tokens:
    """All tokens of the tenant, also those that let nobody in any more."""
    with caller.catalog.begin() as db:
        found = list_tokens(db, tenant_id=caller.tenant.id)
    return Tokens(items=[TokenTold.model_validate(one, from_attributes=True) for one in found])


@router.post("", status_code=HTTPStatus.CREATED)
def create(wanted: TokenWanted, caller: Admin, response: Response, doors: ItsDoors) -> TokenIssued:
    """Make a token. Nobody makes one that may do more than they may themselves."""
    scopes = parse_scopes(wanted.scopes)
    if not within(scopes, caller.identity.scopes):
        own = ", ".join(caller.identity.scopes)
        raise ProblemError(
            HTTPStatus.FORBIDDEN, f"you are limited to {own}, and can give no more than that away"
        )
    with caller.catalog.begin() as db:
        issued = issue_token(
            db,
            tenant_id=caller.tenant.id,
            name=wanted.name,
            role=wanted.role,
            scopes=scopes,
            expires_at=wanted.expires_at,
            created_by=caller.actor,
            now=doors.clock(),
        )
        audit.record(
            db,
            at=doors.clock(),
            actor=caller.actor,
            action="token.created",
            subject=issued.token.prefix,
            tenant_id=caller.tenant.id,
            after=issued.token.audited,
        )
    response.headers["Cache-Control"] = "no-store"
    told = TokenTold.model_validate(issued.token, from_attributes=True)
    return TokenIssued(**told.model_dump(), token=issued.secret)


@router.delete("/{token_id}", status_code=HTTPStatus.NO_CONTENT)
def revoke(token_id: UUID, caller: Admin, doors: ItsDoors) -> None:
    """Let a token in no more. Once is as often."""
    now = doors.clock()
    with caller.catalog.begin() as db:
        token = find_token(db, token_id, tenant_id=caller.tenant.id)
        if token is None:
            raise not_found("token", token_id)
        if revoke_token(db, token, now=now):
            audit.record(
                db,
                at=now,
                actor=caller.actor,
                action="token.revoked",
                subject=token.prefix,
                tenant_id=caller.tenant.id,
                before=token.audited,
            )

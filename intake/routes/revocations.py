"""Revoked tokens: one, all of a user, or everybody's."""

from datetime import UTC, datetime
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field, TypeAdapter, model_validator
from sqlalchemy import select

from intake.auth import Caller, allowed
from intake.auth.access import tell_changed
from intake.auth.token import LONGEST_NAME
from intake.body import body_of
from intake.ingest.fields import Body, Day, Short
from intake.openapi import WRITE
from intake.resource.declaration import Resource, equals
from intake.resource.router import routes_of
from intake.views.access import RevocationView
from models.revocation import Revocation, RevocationTarget, revoke
from models.session import tenant_session
from models.user import Permission
from tasks.payloads import Text


class RevocationBody(Body):
    """Which tokens hold no more: the one of an id, or all that were issued until a moment (now)."""

    target: RevocationTarget
    subject: Annotated[Text, Field(min_length=1, max_length=LONGEST_NAME)] | None = None
    """Id of the token (`jti`) or of the user; none for everybody."""
    issued_before: Day | None = None
    reason: Short | None = None

    @model_validator(mode="after")
    def names_what_it_needs(self) -> Self:
        """Refuse what would revoke something else than was meant."""
        if (self.subject is None) != (self.target is RevocationTarget.ORGANIZATION):
            raise ValueError("subject names the token or the user, and is left out for the organization")
        if self.issued_before is not None and self.target is RevocationTarget.TOKEN:
            raise ValueError("issued_before is for users and for the organization")
        if self.issued_before is not None and self.issued_before > datetime.now(UTC):
            raise ValueError("issued_before must not be in the future")
        return self


REVOCATIONS = Resource(
    name="revocation",
    path="/revocations",
    table=Revocation,
    view=RevocationView,
    manage=Permission.MANAGE_USERS,
    read=Permission.MANAGE_USERS,
    removable=False,
    filters={
        "target": equals(Revocation.target, RevocationTarget),
        "subject": equals(Revocation.subject),
    },
)
COLUMNS = [getattr(Revocation, name) for name in RevocationView.model_fields]

_revocation, _revocation_extra = body_of("RevocationBody", TypeAdapter(RevocationBody))

router = APIRouter(tags=["revocations"])
PATH = "/api/v1/revocations"


@router.post(PATH, status_code=201, responses=WRITE, openapi_extra=_revocation_extra, summary="Revoke tokens")
def create(
    request: Request,
    response: Response,
    caller: Annotated[Caller, Depends(allowed(Permission.MANAGE_USERS))],
    body: Annotated[RevocationBody, _revocation],
) -> RevocationView:
    organization_id = caller.tenant.organization_id
    with tenant_session(request.app.state.database, organization_id, actor=caller.user_id) as session:
        revocation_id = revoke(
            session,
            organization_id,
            body.target,
            subject=body.subject or "",
            issued_before=body.issued_before,
            reason=body.reason,
            revoked_by=caller.user_id,
        )
        row = session.execute(select(*COLUMNS).where(Revocation.id == revocation_id)).one()
    tell_changed(request, organization_id)
    response.headers["Location"] = f"{PATH}/{revocation_id}"
    return RevocationView.model_validate(row)


router.include_router(routes_of(REVOCATIONS))

"""The caller's own organization."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import AfterValidator, TypeAdapter
from sqlalchemy import func, select, update

from intake.auth import AnyCaller, Caller, allowed
from intake.body import body_of
from intake.ingest.fields import Body, Short
from intake.local_time import known_zone
from intake.openapi import READ, WRITE, problems
from intake.resource.etag import IfMatch, IfNoneMatch, answer, require_match
from intake.resource.router import TAGGED, UNCHANGED
from intake.views.organization import OrganizationView
from models.organization import Organization
from models.session import tenant_session
from models.user import Permission

router = APIRouter(prefix="/api/v1/organization", tags=["organization"])

Manager = Annotated[Caller, Depends(allowed(Permission.MANAGE_SETTINGS))]
COLUMNS = [getattr(Organization, name) for name in OrganizationView.model_fields]


class OrganizationChange(Body):
    """What to change. The plan changes under `/subscription`, the status by the operator."""

    name: Short = ""
    time_zone: Annotated[str, AfterValidator(known_zone)] = "UTC"


_change, _change_extra = body_of("OrganizationChange", TypeAdapter(OrganizationChange))


@router.get(
    "", response_model=OrganizationView, responses=READ | TAGGED | UNCHANGED, summary="Your organization"
)
def read(request: Request, caller: AnyCaller, if_none_match: IfNoneMatch = None) -> Response:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        found = OrganizationView.model_validate(session.execute(select(*COLUMNS)).one())
    return answer(found, if_none_match=if_none_match)


@router.patch(
    "",
    response_model=OrganizationView,
    responses=WRITE | problems(412) | TAGGED,
    openapi_extra=_change_extra,
    summary="Change its name or time zone",
)
def change(
    request: Request,
    caller: Manager,
    body: Annotated[OrganizationChange, _change],
    if_match: IfMatch = None,
) -> Response:
    values = body.model_dump(exclude_unset=True)
    organization_id = caller.tenant.organization_id
    with tenant_session(request.app.state.database, organization_id, actor=caller.user_id) as session:
        row = session.execute(select(*COLUMNS).with_for_update(key_share=True)).one()
        require_match(if_match, OrganizationView.model_validate(row))
        if values:
            values |= {"updated_at": func.clock_timestamp()}
            row = session.execute(update(Organization).values(**values).returning(*COLUMNS)).one()
    request.app.state.publisher.announce(organization_id)
    return answer(OrganizationView.model_validate(row))

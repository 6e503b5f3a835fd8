"""Campaigns: create, read, change, delete."""

from typing import Annotated, Self
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field, StrictInt, TypeAdapter, model_validator
from sqlalchemy import func, insert, select, update

from intake.allowance import make_room
from intake.auth import AnyCaller, Caller, allowed
from intake.body import body_of
from intake.ingest.fields import Attributes, Body, Currency, Day, Long, Short
from intake.openapi import READ, READ_ONE, WRITE, problems
from intake.paging import Cursor, CursorParameter, Limit, Page
from intake.problem import NotFoundError
from intake.views.campaign import COLUMNS, CampaignView, Place, list_campaigns
from models.campaign import Campaign, CampaignStatus
from models.session import tenant_session
from models.user import Permission

router = APIRouter(prefix="/api/v1/campaigns", tags=["campaigns"])

Manager = Annotated[Caller, Depends(allowed(Permission.MANAGE_CAMPAIGNS))]


class CampaignChange(Body):
    """What to change; a field that is left out stays, null empties it."""

    name: Short = ""
    description: Long | None = None
    objective: Short | None = None
    status: CampaignStatus = CampaignStatus.DRAFT
    budget_cents: Annotated[StrictInt, Field(ge=0, le=10**15)] | None = None
    currency: Currency | None = None
    starts_at: Day | None = None
    ends_at: Day | None = None
    attributes: Attributes = {}  # noqa: RUF012 - pydantic copies defaults

    @model_validator(mode="after")
    def begins_before_it_ends(self) -> Self:
        """Refuse a period that ends before it begins."""
        if self.starts_at is not None and self.ends_at is not None and self.starts_at >= self.ends_at:
            raise ValueError("starts_at must be before ends_at")
        return self


class CampaignBody(CampaignChange):
    """A new campaign."""

    name: Short


_campaign, _campaign_extra = body_of("CampaignBody", TypeAdapter(CampaignBody))
_change, _change_extra = body_of("CampaignChange", TypeAdapter(CampaignChange))
_places: Cursor[Place] = Cursor(TypeAdapter(Place))


@router.post("", status_code=201, responses=WRITE, openapi_extra=_campaign_extra, summary="Create a campaign")
def create(
    request: Request, response: Response, caller: Manager, body: Annotated[CampaignBody, _campaign]
) -> CampaignView:
    values = body.model_dump() | {"organization_id": caller.tenant.organization_id}
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        make_room(session, caller, "campaigns")
        row = session.execute(insert(Campaign).values(**values).returning(*COLUMNS)).one()
    response.headers["Location"] = f"{router.prefix}/{row.id}"
    return CampaignView.model_validate(row)


@router.get("", responses=READ, summary="List campaigns, newest first")
def campaigns(
    request: Request,
    caller: AnyCaller,
    *,
    status: CampaignStatus | None = None,
    cursor: CursorParameter = None,
    limit: Limit = 50,
) -> Page[CampaignView]:
    after = _places.read(cursor)
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        rows = list_campaigns(session, status=status, after=after, limit=limit + 1)
    shown, following = _places.page(rows, limit, lambda row: (row.created_at, row.id))
    return Page(items=[CampaignView.model_validate(row) for row in shown], next_cursor=following)


@router.get("/{campaign_id}", responses=READ_ONE, summary="One campaign")
def campaign(request: Request, caller: AnyCaller, campaign_id: UUID) -> CampaignView:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        row = session.execute(select(*COLUMNS).where(Campaign.id == campaign_id)).one_or_none()
    if row is None:
        raise NotFoundError("campaign")
    return CampaignView.model_validate(row)


@router.patch(
    "/{campaign_id}",
    responses=WRITE | problems(404),
    openapi_extra=_change_extra,
    summary="Change a campaign",
)
def change(
    request: Request, caller: Manager, campaign_id: UUID, body: Annotated[CampaignChange, _change]
) -> CampaignView:
    values = body.model_dump(exclude_unset=True) | {"updated_at": func.now()}
    statement = update(Campaign).where(Campaign.id == campaign_id, Campaign.deleted_at.is_(None))
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        row = session.execute(statement.values(**values).returning(*COLUMNS)).one_or_none()
    if row is None:
        raise NotFoundError("campaign")
    return CampaignView.model_validate(row)


@router.delete("/{campaign_id}", status_code=204, responses=READ_ONE, summary="Delete a campaign")
def delete(request: Request, caller: Manager, campaign_id: UUID) -> None:
    statement = update(Campaign).where(Campaign.id == campaign_id, Campaign.deleted_at.is_(None))
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        deleted = session.execute(
            statement.values(deleted_at=func.now()).returning(Campaign.id)
        ).one_or_none()
    if deleted is None:
        raise NotFoundError("campaign")

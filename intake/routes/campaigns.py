"""Campaigns: what posts, media and leads are gathered under."""

from typing import Annotated, Self

from pydantic import Field, StrictInt, model_validator

from intake.ingest.fields import Attributes, Body, Currency, Day, Long, Short
from intake.resource.declaration import Resource, Rules, Values, before, equals, since
from intake.resource.repository import Repository
from intake.resource.router import routes_of
from intake.setting_keys import CURRENCY, read_setting
from intake.views.campaign import CampaignView
from models.campaign import Campaign, CampaignStatus
from models.user import Permission


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


class _Rules(Rules):
    def made(self, repository: Repository, values: Values) -> Values:
        """Let a budget without a currency be in the organization's."""
        if values["budget_cents"] is not None and values["currency"] is None:
            values["currency"] = read_setting(repository.session, CURRENCY)
        return values


CAMPAIGNS = Resource(
    name="campaign",
    path="/campaigns",
    table=Campaign,
    view=CampaignView,
    create=CampaignBody,
    change=CampaignChange,
    manage=Permission.MANAGE_CAMPAIGNS,
    bulk=True,
    filters={
        "status": equals(Campaign.status, CampaignStatus),
        "objective": equals(Campaign.objective),
        "starts_since": since(Campaign.starts_at),
        "starts_before": before(Campaign.starts_at),
    },
    sorts=("created_at", "updated_at", "name"),
    meter="campaigns",
    rules=_Rules(),
)

router = routes_of(CAMPAIGNS)

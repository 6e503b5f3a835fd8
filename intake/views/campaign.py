"""What a tenant sees of its campaigns."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, tuple_
from sqlalchemy.orm import Session

from intake.views.base import View
from models.campaign import Campaign, CampaignStatus


class CampaignView(View):
    id: UUID
    name: str
    description: str | None
    objective: str | None
    status: CampaignStatus
    budget_cents: int | None
    currency: str | None
    starts_at: datetime | None
    ends_at: datetime | None
    attributes: dict[str, Any]
    created_at: datetime
    updated_at: datetime


COLUMNS = [getattr(Campaign, name) for name in CampaignView.model_fields]

Place = tuple[datetime, UUID]
"""Creation and id of the last campaign shown."""


def list_campaigns(
    session: Session, *, status: CampaignStatus | None, after: Place | None, limit: int
) -> Sequence[Row[Any]]:
    """Return campaigns, newest first."""
    query = select(*COLUMNS)
    if status is not None:
        query = query.where(Campaign.status == status)
    if after is not None:
        query = query.where(tuple_(Campaign.created_at, Campaign.id) < tuple_(*after))
    return session.execute(query.order_by(Campaign.created_at.desc(), Campaign.id.desc()).limit(limit)).all()

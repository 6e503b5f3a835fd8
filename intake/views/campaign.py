"""What a tenant sees of its campaigns."""

from datetime import datetime
from typing import Any
from uuid import UUID

from intake.views.base import View
from models.campaign import CampaignStatus


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
    deleted_at: datetime | None
    """When it was removed; it can be restored."""

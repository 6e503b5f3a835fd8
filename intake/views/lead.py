"""What a tenant sees of its leads."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, tuple_
from sqlalchemy.orm import Session

from intake.views.base import View
from models.lead import Lead, LeadStatus


class LeadSummary(View):
    """A lead with its score and what the score is made of."""

    id: UUID
    external_id: str | None
    email: str | None
    first_name: str | None
    last_name: str | None
    company: str | None
    job_title: str | None
    source: str | None
    status: LeadStatus
    score: float
    """0 to 100; 0 before the first scoring."""
    grade: str | None
    bucket: str | None
    reasons: list[Any]
    """What the score is made of; the points sum to it."""
    converted: bool
    last_scored_at: datetime | None
    created_at: datetime


class LeadView(LeadSummary):
    """All that is known of a lead."""

    phone: str | None
    campaign_id: UUID | None
    attributes: dict[str, Any]
    fit: float
    engagement: float
    converted_at: datetime | None
    updated_at: datetime
    deleted_at: datetime | None
    """When it was removed; it can be restored."""


Place = tuple[float, datetime, UUID]
"""Score, creation and id of the last lead shown."""


def list_leads(
    session: Session, *, least_score: float | None, after: Place | None, limit: int
) -> Sequence[Row[Any]]:
    """Return leads, the highest score first."""
    query = select(*(getattr(Lead, name) for name in LeadSummary.model_fields))
    place = tuple_(Lead.score, Lead.created_at, Lead.id)
    if least_score is not None:
        query = query.where(Lead.score >= least_score)
    if after is not None:
        query = query.where(place < tuple_(*after))
    query = query.order_by(Lead.score.desc(), Lead.created_at.desc(), Lead.id.desc())
    return session.execute(query.limit(limit)).all()

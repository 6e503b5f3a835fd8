"""Analytics: raw events, what is already counted, and the 15-minute buckets."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from models.base import EMPTY_OBJECT, NEW_ID, Base, OrganizationMixin, Xid8


class AnalyticsEvent(Base):
    """One raw event; partitioned by the month of ``occurred_at``, append-only but for erasure.

    No foreign key to the organization: each insert would lock its row, and the policy checks it anyway.
    """

    __tablename__ = "analytics_events"
    __table_args__ = (
        Index("ix_analytics_events_xid", "organization_id", "xid"),
        Index("ix_analytics_events_occurred_at", "organization_id", "occurred_at"),
        {"postgresql_partition_by": "RANGE (occurred_at)"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID, sort_order=-1)
    occurred_at: Mapped[datetime] = mapped_column(primary_key=True)
    name: Mapped[str]
    visitor: Mapped[str | None]
    """Whoever did it, as the tenant names them; uniques count these."""
    value: Mapped[float | None]
    campaign_id: Mapped[UUID | None]
    attributes: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())
    xid: Mapped[int] = mapped_column(Xid8, server_default=func.pg_current_xact_id())
    """The transaction that wrote it: below a snapshot's xmin, every writer has finished."""


class AnalyticsEventKey(Base):
    """A key that an event came with: insert it first, and leave out the event when it is there already."""

    __tablename__ = "analytics_event_keys"

    key: Mapped[str] = mapped_column(primary_key=True)
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AnalyticsWatermark(OrganizationMixin, Base):
    """How far a rollup has counted: every event with a smaller xid is in its buckets."""

    __tablename__ = "analytics_watermarks"

    rollup: Mapped[str] = mapped_column(primary_key=True)
    xid: Mapped[int] = mapped_column(Xid8, server_default="0")
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class AnalyticsBucket(OrganizationMixin, Base):
    """What happened in one quarter of an hour (UTC), by event name."""

    __tablename__ = "analytics_buckets"
    __table_args__ = (
        CheckConstraint("date_bin('15 minutes', starts_at, 'epoch') = starts_at", name="starts_at"),
    )

    starts_at: Mapped[datetime] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    events: Mapped[int]
    visitors: Mapped[int]
    """Distinct visitors within the bucket; not to be summed over buckets."""
    value_sum: Mapped[float] = mapped_column(server_default="0")
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())

"""Analytics: raw events, and what rollups keep of them: quarters of an hour, marks of visitors, days."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, func, text
from sqlalchemy.dialects.postgresql import BIT
from sqlalchemy.orm import Mapped, mapped_column

from models.base import EMPTY_OBJECT, NEW_ID, Base, OrganizationMixin, Xid8, one_of

NIL = text("'00000000-0000-0000-0000-000000000000'")
"""No campaign, or no post, where a key needs a value."""


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
    channel: Mapped[str | None]
    post_id: Mapped[UUID | None]
    attributes: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())
    xid: Mapped[int] = mapped_column(Xid8, server_default=func.pg_current_xact_id())
    """The transaction that wrote it: below a snapshot's xmin, every writer has finished."""


class AnalyticsEventKey(Base):
    """A key that an event came with: insert it first, and leave out the event when it is there already."""

    __tablename__ = "analytics_event_keys"

    key: Mapped[str] = mapped_column(primary_key=True)
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())
    event_id: Mapped[UUID | None]
    """Where the event lies, so that a correction finds it; None since it was removed."""
    occurred_at: Mapped[datetime | None]


class AnalyticsWatermark(OrganizationMixin, Base):
    """How far a rollup has counted: every event with a smaller xid is in its quarters, marks and days."""

    __tablename__ = "analytics_watermarks"

    rollup: Mapped[str] = mapped_column(primary_key=True)
    xid: Mapped[int] = mapped_column(Xid8, server_default="0")
    time_zone: Mapped[str] = mapped_column(server_default="UTC")
    """The zone whose days are kept."""
    raw_from: Mapped[datetime | None]
    """Raw events of before are not kept any more, and quarters of before never counted again."""
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class AnalyticsBucket(OrganizationMixin, Base):
    """What happened in one quarter of an hour (UTC), by cell: name, campaign, channel and post."""

    __tablename__ = "analytics_buckets"
    __table_args__ = (
        CheckConstraint("date_bin('15 minutes', starts_at, 'epoch') = starts_at", name="starts_at"),
    )

    starts_at: Mapped[datetime] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    campaign_id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NIL)
    channel: Mapped[str] = mapped_column(primary_key=True, server_default="")
    post_id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NIL)
    events: Mapped[int]
    value_sum: Mapped[float] = mapped_column(server_default="0")


class AnalyticsVisitor(Base):
    """In which quarters of a UTC day a visitor did what: exact uniques of any day in any zone.

    No foreign key to the organization, as with raw events.
    """

    __tablename__ = "analytics_visitors"
    __table_args__ = (
        Index("ix_analytics_visitors_visitor", "organization_id", "visitor"),
        {"postgresql_with": {"fillfactor": "80"}},
    )

    day: Mapped[date] = mapped_column(primary_key=True)
    visitor: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """64-bit hash: two of a million visitors share one with a chance of 1 in 37 million."""
    name: Mapped[str] = mapped_column(primary_key=True)
    campaign_id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NIL)
    channel: Mapped[str] = mapped_column(primary_key=True, server_default="")
    post_id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NIL)
    quarters: Mapped[str] = mapped_column(BIT(96))
    """The n-th bit is the n-th quarter of an hour."""


class Dimension(StrEnum):
    """What events of a day are told apart by."""

    TOTAL = "total"
    CAMPAIGN = "campaign"
    CHANNEL = "channel"
    POST = "post"


class AnalyticsDay(OrganizationMixin, Base):
    """What happened on one day of the organization's zone, by scope: dimension, name and member."""

    __tablename__ = "analytics_days"
    __table_args__ = (one_of("dimension", Dimension), {"postgresql_with": {"fillfactor": "80"}})

    dimension: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    """Empty for all names together."""
    member: Mapped[str] = mapped_column(primary_key=True)
    """Id or name within the dimension; empty for the total."""
    events: Mapped[int]
    value_sum: Mapped[float]
    visitors: Mapped[int] = mapped_column(server_default=text("0"))
    """Distinct visitors, exact."""
    sketch: Mapped[bytes | None]
    """HyperLogLog of the visitors, to be united with those of other days."""

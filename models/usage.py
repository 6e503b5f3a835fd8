"""Plan quota: periods, what jobs hold of them, and the ledger of what was used."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import CheckConstraint, Index, Integer, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column
from uuid_utils.compat import uuid7

from models.base import NEW_ID, Base, OrganizationMixin, one_of


class QuotaPeriod(Base):
    """What one organization may use of one meter in one billing period, and has."""

    __tablename__ = "quota_periods"
    __table_args__ = (
        CheckConstraint("used >= 0 AND reserved >= 0", name="counts"),
        {"postgresql_with": {"fillfactor": "50"}},
    )

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    meter: Mapped[str] = mapped_column(primary_key=True)
    period_start: Mapped[datetime] = mapped_column(primary_key=True)
    period_end: Mapped[datetime]
    amount: Mapped[int | None]
    """The plan's limit; None is unlimited."""
    ceiling: Mapped[int | None]
    """Where reservations are refused: the limit, or 110 % of a soft one."""
    used: Mapped[int] = mapped_column(server_default=text("0"))
    reserved: Mapped[int] = mapped_column(server_default=text("0"))
    alerted_percent: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """The highest threshold an alert was raised for in this period."""
    carried: Mapped[int] = mapped_column(server_default=text("0"))
    """Part of what is used: taken over from a period that another zone or anchor cut short."""
    drift: Mapped[int] = mapped_column(server_default=text("0"))
    """By how much accounting has found the counts wrong, and mended them, in all."""


class ReservationState(StrEnum):
    """What became of what a job held."""

    HELD = "held"
    COMMITTED = "committed"
    RELEASED = "released"
    EXPIRED = "expired"


class QuotaReservation(Base):
    """What one holder, mostly a job, holds or held of one meter."""

    __tablename__ = "quota_reservations"
    __table_args__ = (
        one_of("state", ReservationState),
        {"postgresql_with": {"fillfactor": "50"}},
    )

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    meter: Mapped[str] = mapped_column(primary_key=True)
    period_start: Mapped[datetime]
    quantity: Mapped[int]
    state: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    """When the hold of a holder that is no job lapses; a job's lasts as long as the job."""


class UsageRecord(Base):
    """One use of a meter; append-only, at most one per source, mostly a job, and meter."""

    __tablename__ = "usage_ledger"
    __table_args__ = (Index("ix_usage_ledger_recorded_at", "organization_id", "recorded_at"),)

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    meter: Mapped[str] = mapped_column(primary_key=True)
    period_start: Mapped[datetime]
    quantity: Mapped[int]
    recorded_at: Mapped[datetime] = mapped_column(server_default=func.now())


class UsageAlert(Base):
    """Use that has reached a threshold of a limit; once a period."""

    __tablename__ = "usage_alerts"
    __table_args__ = (
        CheckConstraint("threshold IN (80, 100)", name="threshold"),
        UniqueConstraint("organization_id", "meter", "period_start", "threshold"),
    )

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7, server_default=NEW_ID)
    meter: Mapped[str]
    period_start: Mapped[datetime]
    period_end: Mapped[datetime]
    threshold: Mapped[int] = mapped_column(Integer)
    """Percent of the limit."""
    amount: Mapped[int]
    """The limit, when the alert was raised."""
    used: Mapped[int]
    raised_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class WorkerTimeMark(OrganizationMixin, Base):
    """How far the worker time that the queue has charged is in the ledger."""

    __tablename__ = "worker_time_marks"

    lineage: Mapped[str]
    """Names the life of the queue's data: another one begins again from nothing."""
    counted_us: Mapped[int]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


@dataclass(frozen=True, slots=True)
class Period:
    """A billing period, start inclusive, end exclusive, both UTC."""

    start: datetime
    end: datetime


def billing_period(anchor: date, *, time_zone: str, at: datetime) -> Period:
    """Return the monthly period that holds *at*.

    Periods begin at midnight in *time_zone* on the anchor's day of the month; months that lack the day begin
    on their last one, always counted from the original anchor (31 January, 28 February, 31 March).
    """
    zone = ZoneInfo(time_zone)
    local = at.astimezone(zone)
    start = _anchored(local.year, local.month, day=anchor.day, zone=zone)
    if start > at:
        previous = local.year * 12 + local.month - 2
        return Period(_anchored(previous // 12, previous % 12 + 1, day=anchor.day, zone=zone), start)
    following = local.year * 12 + local.month
    return Period(start, _anchored(following // 12, following % 12 + 1, day=anchor.day, zone=zone))


def _anchored(year: int, month: int, *, day: int, zone: ZoneInfo) -> datetime:
    clamped = min(day, monthrange(year, month)[1])
    return datetime.combine(date(year, month, clamped), time.min, zone).astimezone(UTC)

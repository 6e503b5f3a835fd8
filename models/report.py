"""Reports on how an organization fares: snapshots that nobody changes."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Integer, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, TenantMixin, one_of


class ReportGrain(StrEnum):
    """How long the period of a report is."""

    WEEK = "week"
    """From Monday."""
    MONTH = "month"


class Report(TenantMixin, Base):
    """One report as it was produced; the application may insert and read it, and nothing else."""

    __tablename__ = "reports"
    __table_args__ = (
        one_of("grain", ReportGrain),
        CheckConstraint("first_day <= last_day", name="period"),
        CheckConstraint("revision >= 1", name="revision"),
        UniqueConstraint("organization_id", "grain", "first_day", "revision"),
    )

    grain: Mapped[str]
    first_day: Mapped[date]
    last_day: Mapped[date]
    """Inclusive; both in the zone that the organization had."""
    time_zone: Mapped[str]
    revision: Mapped[int] = mapped_column(Integer)
    """1, 2, ...: a period whose figures have changed since can be reported again, beside the first report."""
    shape_version: Mapped[int] = mapped_column(Integer)
    """Which version of the document's shape it has."""
    sha256: Mapped[bytes]
    """Of `document`."""
    document: Mapped[str]
    """Canonical JSON."""
    csv: Mapped[str]
    html: Mapped[str]
    job_id: Mapped[UUID | None]
    produced_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

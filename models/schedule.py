"""Schedules: jobs that recur, and what became of each moment at which one was to run."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, Integer, SmallInteger, func, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, SoftDeleteMixin, TenantMixin, TimestampMixin, one_of


class Overlap(StrEnum):
    """What happens to a run whose moment comes while an earlier run's job has not ended."""

    SKIP = "skip"
    BUFFER_ONE = "buffer_one"
    """It waits for the earlier one; while one waits, further ones are skipped."""
    ALLOW_ALL = "allow_all"


class RunState(StrEnum):
    """What became of a nominal moment."""

    FIRED = "fired"
    """It has a job."""
    BUFFERED = "buffered"
    """It gets its job when the one before has ended."""
    SKIPPED = "skipped"
    """An earlier run had not ended."""
    MISSED = "missed"
    """Nothing could run it; the reason says why."""


class RunTrigger(StrEnum):
    """Who asked for a run."""

    SCHEDULE = "schedule"
    MANUAL = "manual"
    BACKFILL = "backfill"


class RunReason(StrEnum):
    """Why a moment has no job."""

    OVERLAP = "overlap"
    LATE = "late"
    """Nobody was there to fire it, and it is past the catch-up window."""
    QUOTA = "quota"
    ORGANIZATION = "organization"
    """The organization was not active."""
    FEATURE = "feature"
    """The plan lacks what the kind needs."""
    INTERVAL = "interval"
    """The plan allows no schedule that runs so often."""
    PAYLOAD = "payload"
    """The kind takes no such payload any more."""
    KIND = "kind"
    """There is no such kind any more."""
    TIMING = "timing"
    """Its cron or time zone is not understood any more; it rests until it is changed."""


class Schedule(TenantMixin, TimestampMixin, SoftDeleteMixin, Base):
    """A kind and its payload, and when they are to become a job."""

    __tablename__ = "schedules"
    __table_args__ = (
        one_of("overlap", Overlap),
        CheckConstraint("num_nonnulls(cron, interval_seconds) = 1", name="timing"),
        CheckConstraint("interval_seconds >= 60", name="interval_seconds"),
        CheckConstraint("jitter_seconds >= 0", name="jitter_seconds"),
        CheckConstraint("catch_up_seconds >= 60", name="catch_up_seconds"),
        CheckConstraint("starts_at < ends_at", name="period"),
        Index("ix_schedules_due", "next_nominal", postgresql_where=text("NOT paused")),
        Index(
            "ix_schedules_buffered",
            "buffered_nominal",
            postgresql_where=text("buffered_nominal IS NOT NULL AND NOT paused"),
        ),
        Index(
            "uq_schedules_organization_id_platform",
            "organization_id",
            "platform",
            unique=True,
            postgresql_where=text("platform IS NOT NULL"),
        ),
        Index("ix_schedules_by_created_at", "organization_id", "created_at", "id"),
        {"postgresql_with": {"fillfactor": "70"}},
    )

    platform: Mapped[str | None]
    """Which of the platform's own duties it is: the tenant neither sees it nor pays for its jobs."""
    name: Mapped[str]
    kind: Mapped[str]
    payload: Mapped[dict[str, Any]]
    priority: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    cron: Mapped[str | None]
    interval_seconds: Mapped[int | None] = mapped_column(Integer)
    time_zone: Mapped[str]
    starts_at: Mapped[datetime]
    """No run before it; intervals are counted from it."""
    ends_at: Mapped[datetime | None]
    jitter_seconds: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    overlap: Mapped[str] = mapped_column(server_default=Overlap.SKIP)
    catch_up_seconds: Mapped[int] = mapped_column(Integer, server_default=text("3600"))
    paused: Mapped[bool] = mapped_column(server_default=text("false"))
    next_nominal: Mapped[datetime | None]
    """None: it will not run again by itself."""
    buffered_nominal: Mapped[datetime | None]
    revision: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    """Counts changes: what was computed from an older one is not fired."""
    created_by: Mapped[UUID | None]


class ScheduleRun(Base):
    """What became of one nominal moment of a schedule: the key makes it happen once."""

    __tablename__ = "schedule_runs"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id", "schedule_id"],
            ["schedules.organization_id", "schedules.id"],
            ondelete="CASCADE",
        ),
        one_of("state", RunState),
        one_of("trigger", RunTrigger),
        CheckConstraint("(state = 'fired') = (job_id IS NOT NULL)", name="job_id"),
        Index("ix_schedule_runs_open", "organization_id", "schedule_id", postgresql_where=text("open")),
    )

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    schedule_id: Mapped[UUID] = mapped_column(primary_key=True)
    nominal_time: Mapped[datetime] = mapped_column(primary_key=True)
    state: Mapped[str]
    trigger: Mapped[str]
    reason: Mapped[str | None]
    detail: Mapped[str | None]
    job_id: Mapped[UUID | None]
    open: Mapped[bool] = mapped_column(server_default=text("false"))
    """Its job may not have ended; kept where overlap matters, cleared when the schedule is next looked at."""
    recorded_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

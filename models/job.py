"""Jobs and the narrow tables beside them: events, leases, outbox, dead letters, idempotency keys.

The rows of these tables are written by the functions in ``migrations/sql/jobs_*.sql`` only; the mapped
classes are for reading. ``jobs`` carries no index on its state, so that every update of it stays heap-only.
None has a foreign key to ``organizations``: each insert would lock the organization's row, and the
functions check it anyway.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Integer, SmallInteger, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, one_of, references


class JobState(StrEnum):
    """Where a job is in its life."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    DEAD = "dead"
    CANCELLED = "cancelled"


class JobColumns:
    """What a job is, alive or in the history."""

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    lane: Mapped[str]
    state: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    priority: Mapped[int] = mapped_column(SmallInteger)
    attempt: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    max_attempts: Mapped[int] = mapped_column(Integer)
    attempts_per_life: Mapped[int] = mapped_column(Integer)
    run_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    cancel_requested: Mapped[bool] = mapped_column(server_default=text("false"))
    meter: Mapped[str | None]
    result: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    requested_by: Mapped[UUID | None]
    request_id: Mapped[str | None]
    expires_at: Mapped[datetime | None]
    """No attempt begins after this moment."""
    after_id: Mapped[UUID | None]
    """The job it was to wait for; whether it still does stands in `JobWait`."""
    traceparent: Mapped[str | None]
    """The span that every attempt belongs to (W3C Trace Context); None: it is not traced."""


class Job(JobColumns, Base):
    """One job of one organization, until it goes to the history."""

    __tablename__ = "jobs"
    __table_args__ = (
        one_of("state", JobState),
        CheckConstraint("attempt BETWEEN 0 AND max_attempts", name="attempt"),
        {"postgresql_with": {"fillfactor": "50"}},
    )


class PastJob(JobColumns, Base):
    """A finished job, by the month of its id; may be indexed as reading needs, since it does not change."""

    __tablename__ = "job_history"
    __table_args__ = (
        CheckConstraint("state IN ('succeeded', 'dead', 'cancelled')", name="state"),
        Index("ix_job_history_state", "organization_id", "state", "id"),
        Index("ix_job_history_kind", "organization_id", "kind", "id"),
        {"postgresql_partition_by": "RANGE (id)"},
    )


class JobEvent(Base):
    """One change of a job's state: the story a tenant and an operator read; by the month of the job's id."""

    __tablename__ = "job_events"
    __table_args__ = ({"postgresql_partition_by": "RANGE (job_id)"},)

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    attempt: Mapped[int] = mapped_column(Integer)
    state: Mapped[str]
    detail: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


class JobLease(Base):
    """Who runs a job and until when nobody else may; exists exactly while the job is running."""

    __tablename__ = "job_leases"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer)
    worker: Mapped[str]
    leased_until: Mapped[datetime]


class OutboxRow(Base):
    """A waiting job that has no message yet; the relay publishes what its submitter could not."""

    __tablename__ = "outbox"
    __table_args__ = (Index("ix_outbox_created_at", "created_at"),)

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer)
    kind: Mapped[str]
    lane: Mapped[str]
    priority: Mapped[int] = mapped_column(SmallInteger)
    due_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class DeadLetter(Base):
    """A job that nothing tries any more until a person says so."""

    __tablename__ = "dead_letters"
    __table_args__ = (Index("ix_dead_letters_fingerprint", "organization_id", "fingerprint", "job_id"),)

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    attempts: Mapped[int] = mapped_column(Integer)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    died_at: Mapped[datetime] = mapped_column(server_default=func.now())
    fingerprint: Mapped[str]
    """Equal for errors of one type at one place that say the same but for numbers, ids and names."""


class JobWait(Base):
    """A job that waits for another to succeed; exists exactly while it does."""

    __tablename__ = "job_waits"
    __table_args__ = (
        references("jobs", "job_id"),
        references("jobs", "after_id"),
        Index("ix_job_waits_after_id", "organization_id", "after_id"),
    )

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    after_id: Mapped[UUID]


class JobExpiry(Base):
    """When to look whether a job is still waiting; gone once it was looked at."""

    __tablename__ = "job_expiries"
    __table_args__ = (Index("ix_job_expiries_expires_at", "expires_at"),)

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime]


class IdempotencyKey(Base):
    """The job that a client's key made, so that a repeated request is the same job."""

    __tablename__ = "idempotency_keys"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    """Hash of the request body."""
    job_id: Mapped[UUID]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

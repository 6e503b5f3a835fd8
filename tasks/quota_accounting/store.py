"""Quota periods, holds and the ledger in the database."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import CursorResult, DateTime, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session

from models.job import Job, JobState
from models.social import PostState, SocialPost
from models.usage import QuotaPeriod, QuotaReservation, UsageRecord
from tasks.quota_accounting.reconcile import Finding, PeriodState

Key = tuple[str, datetime]
"""Meter and start of the period."""

ENDED = (JobState.DEAD, JobState.CANCELLED)
MAY_BE_OUT = (PostState.PUBLISHING, PostState.UNKNOWN)
"""A post in these states may have been published: what it holds is never given back without knowing."""


def expire_stale_holds(session: Session, organization_id: UUID) -> int:
    """Give back what jobs that ended without success, or are gone, still hold; return how many holds.

    A job gives its holds back when it ends, so this finds only what a defect or a deletion left behind.
    """
    lives = exists().where(
        Job.organization_id == organization_id,
        Job.id == QuotaReservation.job_id,
        Job.state.not_in(ENDED),
    )
    may_be_out = exists().where(
        SocialPost.organization_id == organization_id,
        or_(SocialPost.job_id == QuotaReservation.job_id, SocialPost.id == QuotaReservation.job_id),
        SocialPost.state.in_(MAY_BE_OUT),
    )
    statement = (
        update(QuotaReservation)
        .where(
            QuotaReservation.organization_id == organization_id,
            QuotaReservation.state == "held",
            ~lives,
            ~may_be_out,
        )
        .values(state="expired")
        .execution_options(synchronize_session=False)
    )
    result = session.execute(statement)
    assert isinstance(result, CursorResult)
    return result.rowcount


def lock_periods(
    session: Session, organization_id: UUID, *, meter: str | None, at: datetime, open_ones: bool
) -> list[PeriodState]:
    """Lock the periods that hold *at*, and with *open_ones* the ended ones that still hold something.

    In the order in which a submission locks them, so that neither waits for the other crosswise.
    """
    holds_moment = and_(QuotaPeriod.period_start <= at, QuotaPeriod.period_end > at)
    ended_open = and_(QuotaPeriod.period_end <= at, QuotaPeriod.reserved != 0)
    statement = (
        select(QuotaPeriod)
        .where(
            QuotaPeriod.organization_id == organization_id,
            or_(holds_moment, ended_open) if open_ones else holds_moment,
        )
        .order_by(QuotaPeriod.meter, QuotaPeriod.period_start)
        .with_for_update(key_share=True)
    )
    if meter is not None:
        statement = statement.where(QuotaPeriod.meter == meter)
    return [
        PeriodState(
            meter=row.meter,
            start=row.period_start,
            end=row.period_end,
            amount=row.amount,
            used=row.used,
            reserved=row.reserved,
            alerted_percent=row.alerted_percent,
        )
        for row in session.execute(statement).scalars()
    ]


def ledger_sums(session: Session, organization_id: UUID, periods: Sequence[PeriodState]) -> dict[Key, int]:
    """Return what the ledger says was used in each period."""
    statement = (
        select(UsageRecord.meter, UsageRecord.period_start, func.sum(UsageRecord.quantity))
        .where(
            UsageRecord.organization_id == organization_id,
            UsageRecord.period_start.in_({period.start for period in periods}),
        )
        .group_by(UsageRecord.meter, UsageRecord.period_start)
    )
    return {(meter, start): int(total) for meter, start, total in session.execute(statement)}


def held_sums(session: Session, organization_id: UUID, periods: Sequence[PeriodState]) -> dict[Key, int]:
    """Return what jobs hold of each period."""
    statement = (
        select(QuotaReservation.meter, QuotaReservation.period_start, func.sum(QuotaReservation.quantity))
        .where(
            QuotaReservation.organization_id == organization_id,
            QuotaReservation.state == "held",
            QuotaReservation.period_start.in_({period.start for period in periods}),
        )
        .group_by(QuotaReservation.meter, QuotaReservation.period_start)
    )
    return {(meter, start): int(total) for meter, start, total in session.execute(statement)}


def mend(session: Session, organization_id: UUID, finding: Finding) -> None:
    """Write what the period should say; the caller holds its lock."""
    session.execute(
        update(QuotaPeriod)
        .where(
            QuotaPeriod.organization_id == organization_id,
            QuotaPeriod.meter == finding.period.meter,
            QuotaPeriod.period_start == finding.period.start,
        )
        .values(used=finding.used, reserved=finding.reserved, alerted_percent=finding.alerted_percent)
        .execution_options(synchronize_session=False)
    )


def now_of(session: Session) -> datetime:
    """Return the database's clock."""
    return session.execute(select(func.clock_timestamp(type_=DateTime(timezone=True)))).scalar_one()

"""Quota periods, holds and the ledger in the database."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import DateTime, and_, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models.quota import Allowance
from models.usage import Period, QuotaPeriod, QuotaReservation, UsageAlert, UsageRecord
from tasks.quota_accounting.reconcile import Finding, PeriodState

Key = tuple[str, datetime]
"""Meter and start of the period."""

CLOCKS_APART = timedelta(days=1)
"""More than the clocks of two machines, or of two moments of one, ever differ by."""


def expire_holds(session: Session, organization_id: UUID) -> int:
    """Give back what nobody can use any more; return how many holds."""
    return int(session.scalars(select(func.app.expire_holds(organization_id))).one())


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
            carried=row.carried,
            alerted_percent=row.alerted_percent,
        )
        for row in session.execute(statement).scalars()
    ]


def ledger_sums(session: Session, organization_id: UUID, periods: Sequence[PeriodState]) -> dict[Key, int]:
    """Return what the ledger says was used in each period.

    No record is made before its period begins: the index on when they were made leaves out what is older.
    """
    if not periods:
        return {}
    starts = {period.start for period in periods}
    statement = (
        select(UsageRecord.meter, UsageRecord.period_start, func.sum(UsageRecord.quantity))
        .where(
            UsageRecord.organization_id == organization_id,
            UsageRecord.recorded_at >= min(starts) - CLOCKS_APART,
            UsageRecord.period_start.in_(starts),
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
    """Write what the period should say, and that it did not; the caller holds its lock."""
    session.execute(
        update(QuotaPeriod)
        .where(
            QuotaPeriod.organization_id == organization_id,
            QuotaPeriod.meter == finding.period.meter,
            QuotaPeriod.period_start == finding.period.start,
        )
        .values(used=finding.used, reserved=finding.reserved, drift=QuotaPeriod.drift + finding.drift)
        .execution_options(synchronize_session=False)
    )


def raise_alert(session: Session, standing: Allowance, period: Period, threshold: int) -> None:
    """Record that a gauge has reached a threshold of its limit, once a period; in whole units."""
    if standing.limit is None:
        return
    values = {
        "organization_id": func.app.sealed_tenant(),
        "meter": standing.meter,
        "period_start": period.start,
        "period_end": period.end,
        "threshold": threshold,
        "amount": standing.limit.amount,
        "used": -(-standing.used // standing.unit),
    }
    session.execute(insert(UsageAlert).values(**values).on_conflict_do_nothing())


def now_of(session: Session) -> datetime:
    """Return the database's clock."""
    return session.execute(select(func.clock_timestamp(type_=DateTime(timezone=True)))).scalar_one()

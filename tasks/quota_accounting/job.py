"""The body of `quota.account`."""

from datetime import date, datetime, time
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from models.organization import Organization
from tasks.catalog import ACCOUNT_QUOTA
from tasks.payloads import AccountQuota
from tasks.quota_accounting.reconcile import Finding, examine
from tasks.quota_accounting.store import (
    expire_stale_holds,
    held_sums,
    ledger_sums,
    lock_periods,
    mend,
    now_of,
)
from worker.context import Completion, DatabaseJob
from worker.job import runs

log = structlog.get_logger(__name__)

NOON = time(12)
"""Stands for its day: it exists in every zone on every day."""


@runs(ACCOUNT_QUOTA)
def account(job: DatabaseJob, payload: AccountQuota) -> Completion:
    """Make periods say what the ledger and the holds say, raise due alerts, and tell what was found."""
    session, organization_id = job.session, job.claim.organization_id
    expired = expire_stale_holds(session, organization_id)
    now = now_of(session)
    findings = reconcile(session, organization_id, payload, now)
    for finding in findings:
        if finding.changes:
            mend(session, organization_id, finding)
            _tell(finding)
    return Completion(
        {
            "periods": [finding.as_json() for finding in findings],
            "drifted": sum(bool(finding.used_drift or finding.reserved_drift) for finding in findings),
            "expired_holds": expired,
        }
    )


def reconcile(session: Session, organization_id: UUID, payload: AccountQuota, now: datetime) -> list[Finding]:
    """Compare the locked periods with ledger and holds.

    The sums are read after the lock: whoever changes them changes the period's row in the same transaction,
    so its change was in before the lock was given, or is not visible.
    """
    at = now if payload.period is None else _moment(session, organization_id, payload.period)
    periods = lock_periods(
        session, organization_id, meter=payload.meter, at=at, open_ones=payload.period is None
    )
    ledger, held = (sums(session, organization_id, periods) for sums in (ledger_sums, held_sums))
    return [
        examine(
            period,
            ledger=ledger.get((period.meter, period.start), 0),
            held=held.get((period.meter, period.start), 0),
            now=now,
        )
        for period in periods
    ]


def _moment(session: Session, organization_id: UUID, day: date) -> datetime:
    """Return a moment of the organization's own *day*."""
    statement = select(Organization.time_zone).where(Organization.organization_id == organization_id)
    return datetime.combine(day, NOON, ZoneInfo(session.execute(statement).scalar_one()))


def _tell(finding: Finding) -> None:
    if finding.used_drift or finding.reserved_drift:
        log.warning(
            "quota drifted and was mended",
            meter=finding.period.meter,
            used_drift=finding.used_drift,
            reserved_drift=finding.reserved_drift,
        )
    if finding.alert is not None:
        log.warning("quota alert", meter=finding.period.meter, percent=finding.alert, used=finding.used)

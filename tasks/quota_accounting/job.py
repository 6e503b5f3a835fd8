"""The body of `quota.account`."""

from datetime import date, datetime, time
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy.orm import Session

from models.meter import GAUGES
from models.organization import Tenant
from models.quota import Quota, bound_tenant
from tasks.catalog import ACCOUNT_QUOTA
from tasks.payloads import AccountQuota
from tasks.quota_accounting.reconcile import Finding, examine, reached
from tasks.quota_accounting.store import (
    expire_holds,
    held_sums,
    ledger_sums,
    lock_periods,
    mend,
    now_of,
    raise_alert,
)
from tasks.quota_accounting.worker_time import book, read_charges
from worker.context import Completion, DatabaseJob
from worker.job import runs
from worker.publish import get_publisher

log = structlog.get_logger(__name__)

NOON = time(12)
"""Stands for its day: it exists in every zone on every day."""


@runs(ACCOUNT_QUOTA)
def account(job: DatabaseJob, payload: AccountQuota) -> Completion:
    """Book worker time, sweep holds, and make periods say what the ledger and the holds say."""
    organization_id = job.claim.organization_id
    charged = read_charges(get_publisher(), organization_id)
    session = job.session
    tenant = bound_tenant(session)
    booked = 0 if charged is None else book(session, tenant, charged, source=job.claim.job_id)
    expired = expire_holds(session, organization_id)
    findings = reconcile(session, tenant, payload, now_of(session))
    for finding in findings:
        if finding.drift:
            mend(session, organization_id, finding)
            _tell(finding)
    watch_gauges(session, tenant)
    return Completion(
        {
            "periods": [finding.as_json() for finding in findings],
            "drifted": sum(bool(finding.drift) for finding in findings),
            "expired_holds": expired,
            "worker_seconds": booked,
        }
    )


def reconcile(session: Session, tenant: Tenant, payload: AccountQuota, now: datetime) -> list[Finding]:
    """Compare the locked periods with ledger and holds.

    The sums are read after the lock: whoever changes them changes the period's row in the same transaction,
    so its change was in before the lock was given, or is not visible.
    """
    organization_id: UUID = tenant.organization_id
    at = now if payload.period is None else _moment(tenant, payload.period)
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


def watch_gauges(session: Session, tenant: Tenant) -> None:
    """Raise the alerts of what is counted among rows; those of what is booked the database raises itself."""
    quota = Quota(session, tenant)
    for meter in GAUGES:
        standing = quota.check_limit(meter)
        if standing.limit is None:
            continue
        threshold = reached(standing.used, standing.limit.amount * standing.unit)
        if threshold is not None:
            raise_alert(session, standing, quota.period, threshold)


def _moment(tenant: Tenant, day: date) -> datetime:
    """Return a moment of the organization's own *day*."""
    return datetime.combine(day, NOON, ZoneInfo(tenant.time_zone))


def _tell(finding: Finding) -> None:
    log.warning(
        "quota drifted and was mended",
        meter=finding.period.meter,
        used_drift=finding.used_drift,
        reserved_drift=finding.reserved_drift,
    )

"""The platform's own recurring work: what every organization has done for it, by schedules like any other."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from config.settings import get_settings
from models.organization import Organization, OrganizationStatus, Tenant, load_tenant
from models.schedule import Overlap, Schedule
from models.session import DATABASE_ERRORS, Database, RelayDatabase, relay_session, tenant_session
from tasks.catalog import ACCOUNT_QUOTA, EVALUATE_ALERTS, PRODUCE_REPORT, RETENTION, ROLLUP
from tasks.payloads import AccountQuota, Nothing, Rollup
from tasks.report_payloads import EvaluateAlerts, ProduceReport
from worker.errand import now_and_then
from worker.job import JobKind
from worker.schedule import Timing

log = structlog.get_logger(__name__)

BATCH = 200
"""Organizations that one round looks after."""


@dataclass(frozen=True, slots=True)
class Duty:
    """One job that recurs for every organization, by its own clock."""

    name: str
    """Fixed for ever: schedules that exist carry it."""
    kind: JobKind[Any]
    payload: BaseModel
    jitter: timedelta
    """Spreads the organizations, who would all begin at once."""
    catch_up: timedelta
    cron: str | None = None
    interval: timedelta | None = None


HOUR = timedelta(hours=1)
DUTIES = (
    Duty(
        "rollup",
        ROLLUP,
        Rollup(),
        interval=timedelta(minutes=15),
        jitter=timedelta(minutes=14),
        catch_up=timedelta(minutes=15),
    ),
    Duty("quota", ACCOUNT_QUOTA, AccountQuota(), cron="0 2 * * *", jitter=HOUR, catch_up=20 * HOUR),
    Duty(
        "weekly_report",
        PRODUCE_REPORT,
        ProduceReport(),
        cron="0 5 * * MON",
        jitter=HOUR,
        catch_up=5 * 24 * HOUR,
    ),
    Duty(
        "alerts",
        EVALUATE_ALERTS,
        EvaluateAlerts(),
        interval=timedelta(minutes=15),
        jitter=timedelta(minutes=14),
        catch_up=timedelta(minutes=15),
    ),
    Duty("retention", RETENTION, Nothing(), interval=HOUR, jitter=timedelta(minutes=50), catch_up=HOUR),
)
"""The relay recurs too, but belongs to no organization: beat runs it itself."""


def install(database: Database, tenant: Tenant, duties: Sequence[Duty] = DUTIES) -> list[str]:
    """Give the organization the schedules it lacks; return their names. Safe to repeat, also at once."""
    now = datetime.now(UTC)
    statement = (
        insert(Schedule)
        .values([_row(tenant, duty, now) for duty in duties])
        .on_conflict_do_nothing()
        .returning(Schedule.platform)
    )
    with tenant_session(database, tenant.organization_id) as session:
        return [name for name in session.scalars(statement) if name is not None]


@now_and_then(timedelta(minutes=1))
def install_missing(relay: RelayDatabase, database: Database) -> int:
    """Give active organizations the schedules they lack, some at a time; answers how many got some.

    New organizations get all of them, and old ones what a later version adds.
    """
    if not get_settings().platform_schedules:
        return 0
    organizations = _find_lacking(relay)
    for organization_id in organizations:
        try:
            _install_all(database, organization_id)
        except DATABASE_ERRORS as error:  # whatever is wrong with one stops no other
            log.warning("schedules not made", organization=str(organization_id), error=type(error).__name__)
    return len(organizations)


def _find_lacking(relay: RelayDatabase) -> Sequence[UUID]:
    owned = Schedule.organization_id == Organization.organization_id
    present = select(func.count()).where(owned, Schedule.platform.in_([duty.name for duty in DUTIES]))
    lacking = select(Organization.organization_id).where(
        Organization.status == OrganizationStatus.ACTIVE, present.scalar_subquery() < len(DUTIES)
    )
    with relay_session(relay) as session:
        return session.scalars(lacking.limit(BATCH)).all()


def _install_all(database: Database, organization_id: UUID) -> None:
    tenant = load_tenant(database, organization_id)
    if tenant is not None:
        log.info("schedules made", organization=str(organization_id), schedules=install(database, tenant))


def _row(tenant: Tenant, duty: Duty, now: datetime) -> dict[str, Any]:
    timing = Timing(duty.cron, duty.interval, tenant.time_zone, now)
    return {
        "organization_id": tenant.organization_id,
        "platform": duty.name,
        "name": duty.name,
        "kind": duty.kind.name,
        "payload": duty.payload.model_dump(mode="json"),
        "cron": duty.cron,
        "interval_seconds": None if duty.interval is None else int(duty.interval.total_seconds()),
        "time_zone": tenant.time_zone,
        "starts_at": now,
        "jitter_seconds": int(duty.jitter.total_seconds()),
        "overlap": Overlap.SKIP,
        "catch_up_seconds": int(duty.catch_up.total_seconds()),
        "next_nominal": timing.next_after(now),
    }

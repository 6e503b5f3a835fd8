"""What tests of firing do to schedules and look at."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select

from models.job import Job
from models.organization import Tenant
from models.schedule import Schedule, ScheduleRun
from models.session import Database, call, tenant_session
from tests.support.kinds import LEAVE_CAMPAIGN
from worker import fire
from worker.fire import Round

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

Make = Callable[..., UUID]
Tick = Callable[[datetime], Round]


def make(database: Database, tenant: Tenant, **changes: Any) -> UUID:
    """Make a schedule that is due at noon and each minute from then on."""
    values: dict[str, Any] = {
        "name": "Each minute",
        "kind": LEAVE_CAMPAIGN.name,
        "payload": {"name": "a"},
        "cron": "* * * * *",
        "time_zone": "UTC",
        "starts_at": NOON,
        "next_nominal": NOON,
    }
    if "interval_seconds" in changes:
        values["cron"] = None
    schedule = Schedule(organization_id=tenant.organization_id, **(values | changes))
    with tenant_session(database, tenant.organization_id) as session:
        session.add(schedule)
    return schedule.id


def runs(database: Database, tenant: Tenant) -> list[tuple[int, str, str | None]]:
    """Return what became of each moment: minutes after noon, state, reason."""
    with tenant_session(database, tenant.organization_id) as session:
        rows = session.scalars(select(ScheduleRun).order_by(ScheduleRun.nominal_time))
        return [((run.nominal_time - NOON) // MINUTE, run.state, run.reason) for run in rows]


def end_jobs(database: Database, tenant: Tenant) -> None:
    """Let every waiting job of the tenant end."""
    with tenant_session(database, tenant.organization_id) as session:
        waiting = session.scalars(select(Job.id).where(Job.state.in_(fire.UNENDED))).all()
    for job in waiting:
        call(database, tenant.organization_id, "cancel_job", job=job)


def the_schedule(database: Database, tenant: Tenant) -> Schedule:
    with tenant_session(database, tenant.organization_id) as session:
        return session.scalars(select(Schedule)).one()

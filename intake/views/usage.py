"""What a tenant has used of its plan."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from config.plans import Plan
from intake.allowance import count
from intake.views.base import View
from models.campaign import Campaign
from models.organization import Tenant
from models.schedule import Schedule
from models.social import SocialAccount
from models.usage import QuotaPeriod, billing_period
from models.user import User

COUNTED: dict[str, tuple[Any, ...]] = {
    "campaigns": (Campaign,),
    "schedules": (Schedule, Schedule.platform.is_(None)),
    "social_accounts": (SocialAccount,),
    "users": (User,),
}
"""Meters that count what there is, whatever the period: table and which rows."""
PERIODIC = ("jobs_month", "leads_scored_month", "posts_month", "worker_seconds_month")
"""Meters that start again with each period."""


class MeterView(View):
    meter: str
    used: int
    reserved: int
    """Held by jobs that have not ended."""
    limit: int | None
    """None is unlimited."""
    hard: bool | None
    """A soft limit is flagged at 100 % and refused at 110 %."""


class UsageView(View):
    plan: str
    period_start: datetime
    period_end: datetime
    meters: list[MeterView]


def read_usage(session: Session, tenant: Tenant) -> UsageView:
    """Return what is used in the period of now."""
    period = billing_period(tenant.billing_anchor, time_zone=tenant.time_zone, at=datetime.now(UTC))
    used = {meter: (count(session, *rows), 0) for meter, rows in COUNTED.items()}
    used |= dict.fromkeys(PERIODIC, (0, 0)) | _of_period(session, period.start)
    return UsageView(
        plan=tenant.plan,
        period_start=period.start,
        period_end=period.end,
        meters=[_meter(tenant.terms, meter, *amounts) for meter, amounts in sorted(used.items())],
    )


def _of_period(session: Session, start: datetime) -> dict[str, tuple[int, int]]:
    query = select(QuotaPeriod.meter, QuotaPeriod.used, QuotaPeriod.reserved)
    rows = session.execute(query.where(QuotaPeriod.period_start == start))
    return {row.meter: (row.used, row.reserved) for row in rows}


def _meter(terms: Plan, meter: str, used: int, reserved: int) -> MeterView:
    limit = terms.limits.get(meter)
    return MeterView(
        meter=meter,
        used=used,
        reserved=reserved,
        limit=None if limit is None else limit.amount,
        hard=None if limit is None else limit.hard,
    )

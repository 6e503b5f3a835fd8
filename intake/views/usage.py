"""What a tenant has used of its plan."""

from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from config.plans import Limit
from intake.rate_limit import Pace
from intake.views.base import View
from models.meter import API_CALLS, GAUGES, PERIODIC
from models.organization import Tenant
from models.quota import Allowance, Quota
from models.usage import UsageAlert

Amount = int | float


class MeterView(View):
    meter: str
    used: Amount
    """Whole, but for `storage_gb`: gigabytes (10^9 bytes) with their parts."""
    reserved: int
    """Held by jobs that have not ended."""
    limit: int | None
    """None is unlimited."""
    left: Amount | None
    """Of the limit; a soft limit can be passed."""
    refused_beyond: int | None
    """The limit if it is hard, 110 % of it if it is soft."""
    hard: bool | None
    """A soft limit is flagged at 100 % and refused at 110 %."""
    flagged: bool
    """A soft limit is passed."""
    resets_at: datetime | None
    """When use begins again from nothing, in the organization's zone; null for what counts what there is."""


class UsageAlertView(View):
    meter: str
    threshold: int
    """Percent of the limit."""
    limit: int
    """As it was then."""
    used: int
    """As it was then."""
    raised_at: datetime


class UsageView(View):
    plan: str
    time_zone: str
    period_start: datetime
    """In the organization's zone, like every moment here."""
    period_end: datetime
    meters: list[MeterView]
    alerts: list[UsageAlertView]
    """Of this period: each threshold of a meter once."""


def read_usage(session: Session, tenant: Tenant, paces: Sequence[Pace]) -> UsageView:
    """Return what is used in the period of now; *paces* tell of the calls."""
    quota, zone = Quota(session, tenant), ZoneInfo(tenant.time_zone)
    standing = [*(quota.check_limit(meter) for meter in GAUGES), *_booked(quota, tenant)]
    meters = [_meter(one, zone) for one in standing] + [_calls(tenant, paces, zone)]
    return UsageView(
        plan=tenant.plan,
        time_zone=tenant.time_zone,
        period_start=quota.period.start.astimezone(zone),
        period_end=quota.period.end.astimezone(zone),
        meters=sorted(meters, key=lambda meter: meter.meter),
        alerts=_alerts(session, quota.period.start, zone),
    )


def _booked(quota: Quota, tenant: Tenant) -> list[Allowance]:
    booked, limits = quota.booked(), tenant.terms.limits
    return [
        Allowance(meter, limits.get(meter), *booked[meter], resets_at=quota.period.end) for meter in PERIODIC
    ]


def _meter(standing: Allowance, zone: ZoneInfo) -> MeterView:
    limit: Limit | None = standing.limit
    return MeterView(
        meter=standing.meter,
        used=_in_units(standing.used, standing.unit),
        reserved=standing.reserved,
        limit=None if limit is None else limit.amount,
        left=None if standing.left is None else _in_units(standing.left, standing.unit),
        refused_beyond=None if limit is None else limit.ceiling,
        hard=None if limit is None else limit.hard,
        flagged=standing.flagged,
        resets_at=None if standing.resets_at is None else standing.resets_at.astimezone(zone),
    )


def _in_units(amount: int, unit: int) -> Amount:
    return amount if unit == 1 else amount / unit


def _calls(tenant: Tenant, paces: Sequence[Pace], zone: ZoneInfo) -> MeterView:
    """Say of the calls of the last hour what this request's own count has told."""
    own = next((pace for pace in paces if pace.scope == "organization"), None)
    used = 0 if own is None else own.limit - own.reading.left
    now = datetime.now(UTC)
    resets_at = now if own is None else now + own.reading.full_after
    return _meter(
        Allowance(API_CALLS, tenant.terms.limits.get(API_CALLS), used, 0, resets_at=resets_at), zone
    )


def _alerts(session: Session, start: datetime, zone: ZoneInfo) -> list[UsageAlertView]:
    query = select(UsageAlert).where(UsageAlert.period_start == start).order_by(UsageAlert.raised_at)
    return [
        UsageAlertView(
            meter=alert.meter,
            threshold=alert.threshold,
            limit=alert.amount,
            used=alert.used,
            raised_at=alert.raised_at.astimezone(zone),
        )
        for alert in session.scalars(query)
    ]

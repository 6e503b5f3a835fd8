"""Everything a report reads from other people's tables, as plain queries, one statement a subject."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    DateTime,
    FromClause,
    Integer,
    Row,
    Values,
    and_,
    case,
    column,
    func,
    literal,
    literal_column,
    select,
    union_all,
    values,
)
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from config.plans import Plan, terms_of
from models.campaign import Campaign
from models.job import Job, JobState, PastJob
from models.lead import Lead
from models.organization import Organization
from models.social import AccountStatus, PostState, SocialAccount, SocialPost
from models.subscription import Subscription, SubscriptionStatus
from models.usage import UsageRecord, billing_period
from tasks.analytics_calendar import Grain, Span
from tasks.analytics_reading import totals, unique_visitors
from tasks.reporting.period import Period, Window

Series = dict[str, list[float | None]]
"""Metric to its value in each window of the period."""

MOST_ROWS = 10
"""Of a breakdown: the largest."""

RETRYABLE_FOR = timedelta(days=31)
"""A job can end so long after it was made, at most."""

FIRST_COLUMN: ColumnElement[Any] = literal_column("1")
"""Names a column of the result by its place, so that its expression is not bound a second time."""

ENDED_BADLY = (PostState.FAILED_PERMANENT, PostState.BLOCKED_REAUTH)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom the report is about."""

    organization_id: UUID
    name: str
    plan: str
    terms: Plan
    time_zone: str
    created_at: datetime
    anchor: Any


@dataclass(frozen=True, slots=True)
class Figures:
    """What was read."""

    series: Series
    accounts: list[dict[str, Any]]
    campaigns: list[dict[str, Any]]
    sources: list[dict[str, Any]]
    quota: list[dict[str, Any]]
    unscored: int
    """Live leads that nobody scored yet."""


def read_subject(session: Session, organization_id: UUID) -> Subject:
    """Return the organization as it stands."""
    current = and_(
        Subscription.organization_id == Organization.organization_id,
        Subscription.status != SubscriptionStatus.CANCELLED,
    )
    row = session.execute(
        select(
            Organization.name,
            Organization.plan,
            Organization.plan_overrides,
            Organization.time_zone,
            Organization.created_at,
            func.coalesce(
                Subscription.anchor_date,
                func.date(func.timezone(Organization.time_zone, Organization.created_at)),
            ).label("anchor"),
        )
        .outerjoin(Subscription, current)
        .where(Organization.organization_id == organization_id)
    ).one()
    terms = terms_of(row.plan, row.plan_overrides)
    return Subject(organization_id, row.name, row.plan, terms, row.time_zone, row.created_at, row.anchor)


def read_figures(session: Session, subject: Subject, period: Period) -> Figures:
    """Read all figures of *period*."""
    series: Series = {}
    for read in (_jobs, _ledger, _posts, _leads, _conversions):
        series |= read(session, period)
    series |= _events(session, subject.organization_id, period)
    series["conversion_rate"] = [
        _share(won, new) for won, new in zip(series["conversions"], series["leads_new"], strict=True)
    ]
    return Figures(
        series=_known(series, subject, period),
        accounts=_accounts(session, period.current),
        campaigns=_campaigns(session, period.current),
        sources=_sources(session, period.current),
        quota=_quota(session, subject, period.current),
        unscored=session.scalars(select(func.count()).where(Lead.last_scored_at.is_(None))).one(),
    )


def _windows(period: Period) -> Values:
    rows = [(number, window.begins, window.ends) for number, window in enumerate(period.windows)]
    moment = DateTime(timezone=True)
    columns = (column("number", Integer), column("begins", moment), column("ends", moment))
    return values(*columns, name="windows").data(rows)


def _grouped(
    session: Session, period: Period, source: FromClause, moment: ColumnElement[Any], **wanted: Any
) -> dict[int, Row[Any]]:
    """Return *wanted* aggregates of the rows of *source* whose *moment* lies in each window."""
    windows = _windows(period)
    first = min(window.begins for window in period.windows)
    last = max(window.ends for window in period.windows)
    within = and_(moment >= windows.c.begins, moment < windows.c.ends)
    query = (
        select(windows.c.number, *(aggregate.label(name) for name, aggregate in wanted.items()))
        .select_from(source.join(windows, within))
        .where(moment >= first, moment < last)
        .group_by(windows.c.number)
    )
    return {row.number: row for row in session.execute(query)}


def _values(found: Mapping[int, Row[Any]], name: str, period: Period, empty: float | None) -> list[Any]:
    """Return a column of *found* by window; *empty* stands where there were no rows."""
    return [
        _number(getattr(found[number], name)) if number in found else empty
        for number in range(len(period.windows))
    ]


def _number(value: Any) -> float | None:
    return None if value is None else round(float(value), 6)


def _share(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else round(part / whole, 6)


def _seconds(span: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.greatest(func.extract("epoch", span), 0)


def _median(value: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.percentile_cont(0.5).within_group(value)


def _every_job(period: Period) -> FromClause:
    """Return living and past jobs that can have ended in one of the windows."""
    oldest = earliest_id(min(window.begins for window in period.windows) - RETRYABLE_FOR)
    wanted = ("id", "state", "requested_by", "created_at", "run_at", "started_at", "finished_at")
    parts = [
        select(*(getattr(place, name) for name in wanted)).where(
            place.id >= oldest, place.kind.not_like("system.%")
        )
        for place in (Job, PastJob)
    ]
    return union_all(*parts).subquery("every_job")


def earliest_id(moment: datetime) -> UUID:
    """Return the least id that something made at *moment* can have."""
    return UUID(int=(int(moment.timestamp() * 1000) << 80) | (7 << 76) | (2 << 62))


def _jobs(session: Session, period: Period) -> Series:
    job = _every_job(period)
    ended = job.c.state.in_((JobState.SUCCEEDED, JobState.DEAD))
    succeeded = job.c.state == JobState.SUCCEEDED
    made = _grouped(session, period, job, job.c.created_at, people=func.count(job.c.requested_by.distinct()))
    done = _grouped(
        session,
        period,
        job,
        job.c.finished_at,
        success=func.avg(case((ended, case((succeeded, 1.0), else_=0.0)))),
    )
    due = func.greatest(job.c.created_at, func.coalesce(job.c.run_at, job.c.created_at))
    begun = _grouped(session, period, job, job.c.started_at, wait=_median(_seconds(job.c.started_at - due)))
    return {
        "active_people": _values(made, "people", period, 0),
        "job_success": _values(done, "success", period, None),
        "job_wait": _values(begun, "wait", period, None),
    }


def _ledger(session: Session, period: Period) -> Series:
    record = UsageRecord.__table__
    sums = {
        meter: func.sum(case((record.c.meter == meter, record.c.quantity), else_=0))
        for meter in ("jobs_month", "leads_scored_month")
    }
    found = _grouped(session, period, record, record.c.recorded_at, **sums)
    return {
        "jobs": _values(found, "jobs_month", period, 0),
        "leads_scored": _values(found, "leads_scored_month", period, 0),
    }


def _live(table: Any) -> FromClause:
    return select(*table.__table__.c).where(table.deleted_at.is_(None)).subquery(table.__tablename__)


def _posts(session: Session, period: Period) -> Series:
    post = _live(SocialPost)
    published, ended = _ending(post)
    found = _grouped(
        session,
        period,
        post,
        ended,
        published=func.count().filter(published),
        success=func.avg(case((published, 1.0), else_=0.0)),
        delay=_median(case((published, _seconds(post.c.published_at - post.c.scheduled_at)))),
    )
    return {
        "posts_published": _values(found, "published", period, 0),
        "publish_success": _values(found, "success", period, None),
        "publish_delay": _values(found, "delay", period, None),
    }


def _ending(post: FromClause) -> tuple[ColumnElement[bool], ColumnElement[Any]]:
    """Return whether a post is out, and when it ended out or not; None while it has not."""
    published = post.c.state == PostState.PUBLISHED
    ended = case(
        (published, post.c.published_at), (post.c.state.in_(ENDED_BADLY), post.c.updated_at), else_=None
    )
    return published, ended


def _leads(session: Session, period: Period) -> Series:
    lead = _live(Lead)
    scored = case((lead.c.last_scored_at.is_not(None), lead.c.score))
    found = _grouped(session, period, lead, lead.c.created_at, new=func.count(), score=func.avg(scored))
    return {
        "leads_new": _values(found, "new", period, 0),
        "lead_score": _values(found, "score", period, None),
    }


def _conversions(session: Session, period: Period) -> Series:
    lead = _live(Lead)
    found = _grouped(session, period, lead, lead.c.converted_at, won=func.count())
    return {"conversions": _values(found, "won", period, 0)}


def _events(session: Session, organization_id: UUID, period: Period) -> Series:
    """Read through the analytics' own door, which knows what is rolled up and what is fresh."""
    found: dict[Window, tuple[float, float]] = {}
    for window in set(period.windows):
        span = Span(window.first, window.last, period.time_zone)
        rows = totals(session, organization_id, span, grain=Grain.MONTH)
        value = sum(row.value_sum for row in rows)
        found[window] = (float(unique_visitors(session, organization_id, span)), round(value, 6))
    return {
        "visitors": [found[window][0] for window in period.windows],
        "event_value": [found[window][1] for window in period.windows],
    }


def _known(series: Series, subject: Subject, period: Period) -> Series:
    """Blank what lies before the organization's time: nothing happened then because nobody was there.

    Its time begins with its first figure of any kind where that is earlier: history can be imported.
    """
    begins = [window.begins for window in period.windows]
    lively = [begins[number] for one in series.values() for number, value in enumerate(one) if value]
    since = min([subject.created_at, *lively])
    return {
        key: [value if begins[number] >= since or value else None for number, value in enumerate(one)]
        for key, one in series.items()
    }


def _top(session: Session, query: Any) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in session.execute(query.limit(MOST_ROWS))]  # noqa: SLF001 - SQLAlchemy's public name for it


def _accounts(session: Session, window: Window) -> list[dict[str, Any]]:
    post = _live(SocialPost)
    published, ended = _ending(post)
    within = and_(post.c.account_id == SocialAccount.id, ended >= window.begins, ended < window.ends)
    out = func.count(post.c.id).filter(published)
    query = (
        select(
            SocialAccount.handle.label("name"),
            SocialAccount.platform,
            SocialAccount.status,
            out.label("published"),
            (func.count(post.c.id) - out).label("failed"),
        )
        .outerjoin(post, within)
        .group_by(SocialAccount.id, SocialAccount.handle, SocialAccount.platform, SocialAccount.status)
        .order_by(SocialAccount.status == AccountStatus.ACTIVE, out.desc(), SocialAccount.id)
    )
    return _top(session, query)


def _campaigns(session: Session, window: Window) -> list[dict[str, Any]]:
    leads = _count_of(Lead, Lead.created_at, window)
    posts = _count_of(SocialPost, SocialPost.published_at, window)
    query = (
        select(Campaign.name, Campaign.status, posts.label("posts"), leads.label("leads"))
        .where((leads > 0) | (posts > 0))
        .order_by(leads.desc(), posts.desc(), Campaign.id)
    )
    return _top(session, query)


def _count_of(table: Any, moment: Any, window: Window) -> ColumnElement[int]:
    return (
        select(func.count())
        .where(
            table.organization_id == Campaign.organization_id,
            table.campaign_id == Campaign.id,
            table.deleted_at.is_(None),
            moment >= window.begins,
            moment < window.ends,
        )
        .correlate(Campaign)
        .scalar_subquery()
    )


def _sources(session: Session, window: Window) -> list[dict[str, Any]]:
    count = func.count()
    query = (
        select(
            func.coalesce(Lead.source, literal("unknown")).label("name"),
            count.label("leads"),
            count.filter(Lead.converted).label("converted"),
        )
        .where(Lead.created_at >= window.begins, Lead.created_at < window.ends)
        .group_by(FIRST_COLUMN)
        .order_by(count.desc(), FIRST_COLUMN)
    )
    return _top(session, query)


def _quota(session: Session, subject: Subject, window: Window) -> list[dict[str, Any]]:
    """Return what of each periodic limit was used by the window's end, as the ledger has it."""
    last = window.ends - timedelta(microseconds=1)
    period = billing_period(subject.anchor, time_zone=subject.time_zone, at=last)
    query = (
        select(UsageRecord.meter, func.sum(UsageRecord.quantity))
        .where(UsageRecord.period_start == period.start, UsageRecord.recorded_at < window.ends)
        .group_by(UsageRecord.meter)
    )
    used = {meter: int(total) for meter, total in session.execute(query)}
    limits = {name: limit.amount for name, limit in subject.terms.limits.items() if name.endswith("_month")}
    return [
        {
            "meter": meter,
            "used": used.get(meter, 0),
            "limit": limits.get(meter),
            "share": _share(used.get(meter, 0), limits.get(meter)),
        }
        for meter in sorted(used.keys() | limits.keys())
    ]

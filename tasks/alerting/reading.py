"""Everything that alerts read from other people's tables, as plain queries."""

from datetime import datetime, timedelta

from sqlalchemy import and_, case, func, select
from sqlalchemy.orm import Session

from models.job import DeadLetter
from models.social import PostState, SocialAccount, SocialPost
from models.usage import QuotaPeriod, UsageAlert
from tasks.alerting.finding import CADENCE_WEEKS, AccountState, DeadLetters, QuotaUse

WEEK = timedelta(days=7)
REFUSED = (PostState.FAILED_PERMANENT, PostState.BLOCKED_REAUTH)


def quota_uses(session: Session, now: datetime) -> list[QuotaUse]:
    """Return every limited meter of the current period.

    Meters that count rows have no period of their own: of them accounting's alert tells, once it was raised.
    """
    booked = select(QuotaPeriod.meter, QuotaPeriod.period_start, QuotaPeriod.used, QuotaPeriod.amount).where(
        QuotaPeriod.period_start <= now, QuotaPeriod.period_end > now, QuotaPeriod.amount.is_not(None)
    )
    counted = (
        select(UsageAlert.meter, UsageAlert.period_start, UsageAlert.used, UsageAlert.amount)
        .where(UsageAlert.period_start <= now, UsageAlert.period_end > now)
        .order_by(UsageAlert.threshold)
    )
    rows = [row for query in (counted, booked) for row in session.execute(query)]
    uses = {row.meter: QuotaUse(row.meter, row.period_start, row.used, row.amount) for row in rows}
    return sorted(uses.values(), key=lambda use: use.meter)


def account_states(session: Session, now: datetime) -> list[AccountState]:
    """Return every connected account with how its posts fared lately."""
    starts = [now - WEEK * back for back in range(CADENCE_WEEKS + 1, 0, -1)]
    out = SocialPost.state == PostState.PUBLISHED
    weeks = [
        func.count().filter(out, SocialPost.published_at >= start, SocialPost.published_at < start + WEEK)
        for start in starts
    ]
    last_out = (
        select(func.max(SocialPost.published_at))
        .where(SocialPost.account_id == SocialAccount.id, out)
        .correlate(SocialAccount)
        .scalar_subquery()
    )
    since = func.greatest(starts[0], func.coalesce(last_out, starts[0]))
    refused = func.count(
        case((and_(SocialPost.state.in_(REFUSED), SocialPost.updated_at > since), SocialPost.id))
    )
    account = (
        SocialAccount.id,
        SocialAccount.handle,
        SocialAccount.platform,
        SocialAccount.status,
        SocialAccount.status_detail,
    )
    query = (
        select(*account, refused, *weeks)
        .outerjoin(SocialPost, SocialPost.account_id == SocialAccount.id)
        .group_by(*account)
        .order_by(SocialAccount.id)
    )
    return [AccountState(*row[:6], tuple(row[6:])) for row in session.execute(query)]


def dead_letters(session: Session) -> list[DeadLetters]:
    """Count dead letters by kind, but not the system's own: a delivery that failed must not raise another."""
    query = (
        select(DeadLetter.kind, func.count())
        .where(DeadLetter.kind.not_like("system.%"))
        .group_by(DeadLetter.kind)
        .order_by(DeadLetter.kind)
    )
    return [DeadLetters(*row) for row in session.execute(query)]

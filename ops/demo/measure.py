"""Read what came of the demo, each organization through its own bound session."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx
import numpy as np
from sqlalchemy import func, select, text

from config.plans import PLANS
from models.analytics import AnalyticsBucket, AnalyticsEvent
from models.job import Job, JobLease, JobState, OutboxRow
from models.lead import Lead
from models.session import Database, tenant_session
from models.social import PostState, SocialPost
from models.usage import QuotaPeriod, QuotaReservation, ReservationState, UsageRecord
from ops.demo.client import Participant
from ops.demo.scenario import handle_of

ROUNDING = 1e-6

ENDED = frozenset({JobState.SUCCEEDED, JobState.DEAD, JobState.CANCELLED})


@dataclass(frozen=True, slots=True)
class Run:
    """One job as the record shows it."""

    kind: str
    lane: str
    state: str
    due: datetime
    """When it could run at the earliest."""
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def seconds(self) -> float:
        """Return how long its last attempt ran."""
        return (
            (self.finished_at - self.started_at).total_seconds()
            if self.started_at and self.finished_at
            else 0
        )

    @property
    def wait(self) -> timedelta:
        """Return how long it waited for its turn."""
        assert self.started_at is not None, "only jobs that ran are asked"
        return max(timedelta(0), self.started_at - self.due)


def runs(database: Database, who: Participant) -> list[Run]:
    """Return every job of the organization."""
    due = func.greatest(Job.created_at, func.coalesce(Job.run_at, Job.created_at))
    columns = (Job.kind, Job.lane, Job.state, due, Job.started_at, Job.finished_at)
    with tenant_session(database, who.organization_id) as session:
        return [Run(*row) for row in session.execute(select(*columns))]


def ended(database: Database, who: Participant) -> tuple[int, int]:
    """Return how many of the organization's jobs have ended, and how many there are."""
    count = func.count()
    query = select(count.filter(Job.state.in_(ENDED)), count).select_from(Job)
    with tenant_session(database, who.organization_id) as session:
        done, all_of_them = session.execute(query).one()
    return done, all_of_them


def percentile_ms(waits: Sequence[timedelta], percent: float) -> float | None:
    """Return a percentile in milliseconds; None of nothing."""
    if not waits:
        return None
    return float(np.percentile([wait.total_seconds() * 1000 for wait in waits], percent))


@dataclass(frozen=True, slots=True)
class Share:
    """What an always-busy organization got of the worker time that it shared with the others."""

    name: str
    entitled: float
    got: float
    seconds: float


def shares(histories: Sequence[tuple[Participant, list[Run]]], lane: str) -> list[Share]:
    """Compare worker time got with weights, while each of the given organizations had work in *lane*.

    The window ends when the first of them started its last job.
    """
    scored = [
        (who, [run for run in history if run.lane == lane and run.started_at and run.finished_at])
        for who, history in histories
    ]
    begins = max(min(run.started_at for run in jobs if run.started_at) for _, jobs in scored)
    ends = min(max(run.started_at for run in jobs if run.started_at) for _, jobs in scored)
    seconds = [sum(_overlap(run, begins, ends) for run in jobs) for _, jobs in scored]
    weights = [PLANS[who.member.plan].weight for who, _ in scored]
    return [
        Share(who.member.name, weight / sum(weights), got / sum(seconds), got)
        for (who, _), weight, got in zip(scored, weights, seconds, strict=True)
    ]


def _overlap(run: Run, begins: datetime, ends: datetime) -> float:
    assert run.started_at is not None
    assert run.finished_at is not None
    return max(0.0, (min(run.finished_at, ends) - max(run.started_at, begins)).total_seconds())


def leftovers(database: Database, who: Participant) -> int:
    """Count rows that are gone when every job has ended: leases, outbox rows, quota holds."""
    held = QuotaReservation.state == ReservationState.HELD
    with tenant_session(database, who.organization_id) as session:
        return sum(
            session.scalars(query).one()
            for query in (
                select(func.count()).select_from(JobLease),
                select(func.count()).select_from(OutboxRow),
                select(func.count()).select_from(QuotaReservation).where(held),
            )
        )


@dataclass(frozen=True, slots=True)
class Quota:
    """What the periods say was used of a meter, and what the ledger does."""

    meter: str
    amount: int | None
    used: int
    ledger: int


def quotas(database: Database, who: Participant) -> list[Quota]:
    """Return the organization's meters."""
    ledger = (
        select(func.coalesce(func.sum(UsageRecord.quantity), 0))
        .where(UsageRecord.meter == QuotaPeriod.meter, UsageRecord.period_start == QuotaPeriod.period_start)
        .scalar_subquery()
    )
    query = select(QuotaPeriod.meter, QuotaPeriod.amount, QuotaPeriod.used, ledger).order_by(
        QuotaPeriod.meter
    )
    with tenant_session(database, who.organization_id) as session:
        return [
            Quota(meter, amount, used, int(total)) for meter, amount, used, total in session.execute(query)
        ]


@dataclass(frozen=True, slots=True)
class Scoring:
    """How an organization's leads were scored."""

    leads: int
    scored: int
    sums_match: int
    """Leads whose reasons sum to their score."""
    ordered: float | None
    """Share of pairs (converted, not) in which the converted lead scores higher; ties count half."""
    top: list[dict[str, Any]]


def scoring(database: Database, who: Participant) -> Scoring:
    """Return what scoring made of the organization's leads."""
    columns = (Lead.first_name, Lead.score, Lead.grade, Lead.reasons, Lead.converted, Lead.last_scored_at)
    with tenant_session(database, who.organization_id) as session:
        rows = session.execute(select(*columns).order_by(Lead.score.desc(), Lead.id)).all()
    scored = [row for row in rows if row.last_scored_at is not None]
    return Scoring(
        leads=len(rows),
        scored=len(scored),
        sums_match=sum(
            abs(sum(reason["points"] for reason in row.reasons) - row.score) < ROUNDING for row in scored
        ),
        ordered=_ordered([row.score for row in scored], [row.converted for row in scored]),
        top=[
            {"lead": row.first_name, "score": row.score, "grade": row.grade, "reasons": row.reasons}
            for row in scored[:3]
        ],
    )


def _ordered(scores: Sequence[float], converted: Sequence[bool]) -> float | None:
    """Return the area under the ROC curve."""
    score, label = np.asarray(scores, dtype=float), np.asarray(converted, dtype=bool)
    won, lost = score[label], score[~label]
    if not len(won) or not len(lost):
        return None
    return float(np.mean((won[:, None] > lost) + 0.5 * (won[:, None] == lost)))


def rolled_up(database: Database, who: Participant) -> tuple[int, int]:
    """Return how many events stand in the buckets, and how many there are."""
    with tenant_session(database, who.organization_id) as session:
        counted = session.scalars(select(func.coalesce(func.sum(AnalyticsBucket.events), 0))).one()
        return int(counted), session.scalars(select(func.count()).select_from(AnalyticsEvent)).one()


def posts(database: Database, who: Participant) -> list[Any]:
    """Return platform, state, text, remote id and remote URL of every post."""
    columns = (
        SocialPost.platform,
        SocialPost.state,
        SocialPost.body,
        SocialPost.remote_id,
        SocialPost.remote_url,
    )
    with tenant_session(database, who.organization_id) as session:
        return list(session.execute(select(*columns).order_by(SocialPost.platform, SocialPost.id)))


def records_on_stand_in(stand_in: httpx.Client, who: Participant) -> list[str]:
    """Return the text of everything that the stand-in published for the organization."""
    texts = []
    for platform in who.member.platforms:
        answer = stand_in.get(f"/admin/accounts/{platform}/{handle_of(who.member)}").raise_for_status()
        texts += [record["text"] for record in answer.json()["records"]]
    return texts


def published(rows: Sequence[Any]) -> int:
    """Count the posts that are out."""
    return sum(row.state == PostState.PUBLISHED for row in rows)


def leads_seen_by(database: Database, who: Participant) -> tuple[int, int]:
    """Return how many leads raw SQL finds in the organization's session, and how many of them are its own."""
    count = text("SELECT count(*), count(*) FILTER (WHERE organization_id = :own) FROM leads")
    with tenant_session(database, who.organization_id) as session:
        seen, own = session.execute(count, {"own": who.organization_id}).one()
    return seen, own


def unbound_is_refused(database: Database) -> bool:
    """Tell whether the application role, bound to nobody, is refused every row."""
    with database.engine.connect() as connection:
        try:
            connection.execute(text("SELECT 1 FROM leads LIMIT 1"))
        except Exception as error:  # noqa: BLE001 - any refusal will do, but it must be one of privilege
            return getattr(getattr(error, "orig", None), "sqlstate", None) == "42501"
    return False

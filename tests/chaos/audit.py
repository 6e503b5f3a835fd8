"""What must hold when a chaos run is over, whatever happened: each finding is one sentence."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import redis
from sqlalchemy import func, select

from config.celery import LANES
from models.analytics import AnalyticsBucket, AnalyticsEvent
from models.campaign import Campaign
from models.job import DeadLetter, Job, JobEvent, JobState
from models.lead import Lead
from models.organization import Tenant
from models.schedule import Schedule, ScheduleRun
from models.session import Database, tenant_session
from models.social import SocialAccount
from models.usage import QuotaPeriod, UsageRecord
from tests.chaos.client import Ledger
from tests.chaos.work import Ending, Order
from tests.integration.families.stand_in import StandIn
from tests.support import outcome
from worker.fairshare.queue import FairQueue

SHOWN = 5
"""Examples that a finding names."""


@dataclass
class Check:
    """One thing that was compared, for all tenants."""

    name: str
    compared: int = 0
    findings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Account:
    """One tenant's side of the story."""

    tenant: Tenant
    orders: list[Order]
    told: Ledger


@dataclass(frozen=True, slots=True)
class Books:
    """Everything the database says of one tenant."""

    account: Account
    jobs: Mapping[UUID, Job]
    by_key: Mapping[str, Job]
    events: Mapping[UUID, list[JobEvent]]
    campaigns: Counter[str]
    ledger: list[UsageRecord]
    periods: list[QuotaPeriod]

    def succeeded(self, kind: str | None = None) -> list[Job]:
        """Return the jobs that succeeded, of one kind or all."""
        return [job for job in self.jobs.values() if job.state == "succeeded" and kind in {None, job.kind}]


class Audit:
    """Collects checks."""

    def __init__(self) -> None:
        self.checks: dict[str, Check] = {}

    def check(self, name: str, wrong: Iterable[str], *, of: int) -> None:
        """Note that *of* things were compared and which of them are *wrong*."""
        check = self.checks.setdefault(name, Check(name))
        check.compared += of
        check.findings += wrong

    def equal(self, name: str, found: object, wanted: object, what: str) -> None:
        """Note a comparison of two values."""
        self.check(name, [] if found == wanted else [f"{what}: {found!r}, not {wanted!r}"], of=1)

    @property
    def findings(self) -> list[str]:
        """Return every finding, a few of each check."""
        return [f"{check.name}: {one}" for check in self.checks.values() for one in check.findings[:SHOWN]]


def read_books(database: Database, account: Account) -> Books:
    with tenant_session(database, account.tenant.organization_id) as session:
        jobs = {job.id: job for job in session.scalars(select(Job))}
        events: dict[UUID, list[JobEvent]] = defaultdict(list)
        for event in session.scalars(select(JobEvent).order_by(JobEvent.at, JobEvent.id)):
            events[event.job_id].append(event)
        campaigns = session.execute(select(Campaign.name, func.count()).group_by(Campaign.name)).all()
        ledger = session.scalars(select(UsageRecord)).all()
        periods = session.scalars(select(QuotaPeriod)).all()
    by_key = {key: jobs[job] for key, job in account.told.accepted.items() if job in jobs}
    return Books(account, jobs, by_key, events, Counter(dict(campaigns)), list(ledger), list(periods))


def examine_tenant(audit: Audit, database: Database, stand_in: StandIn, account: Account) -> None:
    """Compare what a tenant asked for, was told and has."""
    books = read_books(database, account)
    for look in (_accepted, _endings, _stories, _campaigns, _quota):
        look(audit, books)
    _leftovers(audit, database, books)
    _posts(audit, database, stand_in, books)
    _leads(audit, database, books)
    _analytics(audit, database, books)
    _schedules(audit, database, books)


def _accepted(audit: Audit, books: Books) -> None:
    told = books.account.told
    audit.check("answers to clients are right", told.wrong, of=told.requests)
    missing = [f"{key} was accepted as {job}" for key, job in told.accepted.items() if job not in books.jobs]
    audit.check("every accepted job is recorded", missing, of=len(told.accepted))
    audit.equal("every order was accepted", len(told.accepted), len(books.account.orders), "orders accepted")
    distinct = len(set(told.accepted.values()))
    audit.equal("one idempotency key, one job", distinct, len(told.accepted), "distinct jobs")


def _endings(audit: Audit, books: Books) -> None:
    open_jobs = [_tell(books, job) for job in books.jobs.values() if job.state not in outcome.FINAL]
    audit.check("every job is in a final state", open_jobs, of=len(books.jobs))
    wrong = []
    allowed = {
        Ending.SUCCEEDED: {JobState.SUCCEEDED},
        Ending.DEAD: {JobState.DEAD},
        Ending.EITHER: {JobState.SUCCEEDED, JobState.CANCELLED},
    }
    for order in books.account.orders:
        job = books.by_key.get(order.key)
        if job is not None and job.state not in allowed[order.ending]:
            wrong.append(f"{order.key} should be {order.ending}: {_tell(books, job)}")
    audit.check("every job ended as it should", wrong, of=len(books.account.orders))


def _tell(books: Books, job: Job) -> str:
    story = " ".join(f"{event.state}/{event.attempt}" for event in books.events[job.id])
    return f"{job.kind} {job.id} is {job.state} at attempt {job.attempt} ({story}; {job.error})"


def _stories(audit: Audit, books: Books) -> None:
    """Look at the events: one success at most, no attempt twice, and the last one is the state."""
    wrong = []
    for job in books.jobs.values():
        states = Counter((event.state, event.attempt) for event in books.events[job.id])
        successes = sum(count for (state, _), count in states.items() if state == "succeeded")
        twice = [key for key, count in states.items() if key[0] == "running" and count > 1]
        last = max(books.events[job.id], key=lambda event: event.id, default=None)
        told_twice = [key for key in twice if not _cancel_was_asked(books, job.id)]
        is_right = successes == (job.state == "succeeded") and not told_twice
        if not is_right or last is None or last.state != job.state:
            wrong.append(_tell(books, job))
    audit.check("every job's events tell one life", wrong, of=len(books.jobs))


def _cancel_was_asked(books: Books, job_id: UUID) -> bool:
    return any((event.detail or {}).get("cancel_requested") for event in books.events[job_id])


def _campaigns(audit: Audit, books: Books) -> None:
    wanted: Counter[str] = Counter()
    for key, job in books.by_key.items():
        if job.kind.startswith("test.") and job.state == "succeeded":
            wanted[key] = 1
    wrong = _differences(books.campaigns, wanted)
    audit.check("effects in the tenant's tables happened once", wrong, of=len(wanted))


def _differences(found: Counter[str], wanted: Counter[str]) -> list[str]:
    keys = sorted(found.keys() | wanted.keys())
    return [
        f"{key} is there {found[key]} times, not {wanted[key]}" for key in keys if found[key] != wanted[key]
    ]


def _quota(audit: Audit, books: Books) -> None:
    """Compare the ledger with the jobs, and the periods with the ledger."""
    wanted = {
        "jobs_month": {job.id: 1 for job in books.succeeded()},
        "posts_month": {job.id: 1 for job in books.succeeded("social.publish_post")},
        "leads_scored_month": {
            job.id: (job.result or {})["scored"] for job in books.succeeded("leads.score")
        },
    }
    for meter, of_job in wanted.items():
        found = {record.job_id: record.quantity for record in books.ledger if record.meter == meter}
        rows = sum(record.meter == meter for record in books.ledger)
        wrong = [f"{meter} of {job}" for job in found.keys() ^ of_job.keys() if of_job.get(job, 0) > 0]
        wrong += [
            f"{meter} of {job}: {found[job]}"
            for job in found.keys() & of_job.keys()
            if found[job] != of_job[job]
        ]
        audit.check("the ledger equals the jobs", wrong, of=rows)
    for period in books.periods:
        used = sum(
            record.quantity
            for record in books.ledger
            if (record.meter, record.period_start) == (period.meter, period.period_start)
        )
        audit.equal("the quota equals the ledger", (period.used, period.reserved), (used, 0), period.meter)
    drifts = [
        f"{job.id} found {job.result}"
        for job in books.succeeded("quota.account")
        if (job.result or {})["drifted"]
    ]
    audit.check("no quota.account found a drift", drifts, of=len(books.succeeded("quota.account")))


def _leftovers(audit: Audit, database: Database, books: Books) -> None:
    tenant = books.account.tenant
    for what, count in outcome.leftovers(database, tenant).items():
        audit.equal(f"no {what} left", count, 0, tenant.name)
    dead = {job.id for job in books.jobs.values() if job.state == "dead"}
    with tenant_session(database, tenant.organization_id) as session:
        letters = set(session.scalars(select(DeadLetter.job_id)))
    audit.equal("dead letters equal the dead jobs", letters, dead, tenant.name)


def _posts(audit: Audit, database: Database, stand_in: StandIn, books: Books) -> None:
    tenant = books.account.tenant
    with tenant_session(database, tenant.organization_id) as session:
        accounts = session.execute(select(SocialAccount.platform, SocialAccount.handle)).all()
    found = Counter(text for platform, handle in accounts for text in stand_in.texts(platform, handle))
    texts = {order.key: order.payload.get("text") for order in books.account.orders}
    wanted = Counter(
        str(texts[key])
        for key, job in books.by_key.items()
        if job.kind == "social.publish_post" and job.state == "succeeded"
    )
    audit.check("posts went out once (asked of the server)", _differences(found, wanted), of=len(wanted))


def _leads(audit: Audit, database: Database, books: Books) -> None:
    with tenant_session(database, books.account.tenant.organization_id) as session:
        scored = set(session.scalars(select(Lead.id).where(Lead.last_scored_at.is_not(None))))
    wanted = {UUID(job.payload["lead_ids"][0]) for job in books.succeeded("leads.score")}
    wrong = [str(lead) for lead in scored ^ wanted]
    audit.check("exactly the leads of succeeded jobs are scored", wrong, of=len(wanted))


def _analytics(audit: Audit, database: Database, books: Books) -> None:
    with tenant_session(database, books.account.tenant.organization_id) as session:
        received = session.scalars(select(func.count()).select_from(AnalyticsEvent)).one()
        counted = session.scalars(select(func.coalesce(func.sum(AnalyticsBucket.events), 0))).one()
    sent = books.account.told.events
    audit.equal("analytics events are there once", received, sent, "events received")
    audit.equal("rollups count each event once", counted, sent, "events in buckets")


def _schedules(audit: Audit, database: Database, books: Books) -> None:
    """Every moment has one job, and every job nobody ordered is a schedule's or the run's own last rollup."""
    with tenant_session(database, books.account.tenant.organization_id) as session:
        runs = session.execute(
            select(
                ScheduleRun.schedule_id,
                ScheduleRun.nominal_time,
                ScheduleRun.job_id,
                Schedule.starts_at,
                Schedule.next_nominal,
                Schedule.interval_seconds,
            ).join(Schedule, Schedule.id == ScheduleRun.schedule_id)
        ).all()
    moments: dict[UUID, set[Any]] = defaultdict(set)
    for run in runs:
        moments[run.schedule_id].add(run.nominal_time)
    wrong = [
        f"{run.schedule_id} at {run.nominal_time}: job {run.job_id}"
        for run in runs
        if run.job_id not in books.jobs
    ]
    for run in {run.schedule_id: run for run in runs}.values():
        due = (run.next_nominal - run.starts_at).total_seconds() / run.interval_seconds
        if len(moments[run.schedule_id]) != due:
            wrong.append(f"{run.schedule_id} fired {len(moments[run.schedule_id])} of {due} moments")
    audit.check("every moment of a schedule fired once", wrong, of=len(runs))
    known = set(books.account.told.accepted.values()) | {run.job_id for run in runs}
    strangers = [str(job) for job in books.jobs if job not in known]
    audit.check("no job that nobody ordered", strangers, of=len(books.jobs))


def examine_queue(audit: Audit, client: redis.Redis) -> None:
    """Look at the lanes: nothing waits or runs, nobody stands in a wrong place, nothing was given up."""
    for lane in LANES:
        queue = FairQueue(client, lane)
        audit.equal("drift gauge of the lanes is 0", queue.audit(), 0, lane)
        audit.equal("lanes are empty", jobs_in(queue), 0, lane)
        given_up = client.hlen(queue.keys.of("dead"))
        audit.equal("no message was given up", given_up, 0, lane)


def jobs_in(queue: FairQueue) -> int:
    return sum(stats.waiting + stats.delayed + stats.in_flight + stats.set_aside for stats in queue.stats())

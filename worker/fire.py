"""Fire recurring schedules: find what is due across tenants, then record runs and jobs bound to each tenant.

Safe to run anywhere, any number of times at once: a schedule is locked, checked again and moved on in the
transaction that records its jobs, and the key of a run makes one job per nominal moment.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import structlog
from pydantic import BaseModel, ValidationError
from sqlalchemy import func, select

from models.job import Job, JobState
from models.organization import OrganizationStatus, Tenant, load_tenant
from models.schedule import RunReason, RunState, RunTrigger, Schedule, ScheduleRun
from models.session import Database, RelayDatabase, call, relay_session, tenant_session
from worker.job import KINDS, JobKind, Lane
from worker.publish import Publisher, Waiting, publish_recorded
from worker.refusal import FeatureNotInPlanError, translated
from worker.schedule import Due, DueRun, Timing, TimingError, due_runs, jittered
from worker.submit import quota_now, tell
from worker.tracing import originate

log = structlog.get_logger(__name__)

BATCH = 500
"""Schedules that one round looks at."""

FIRED_TOGETHER = 50
"""Schedules of one organization that are settled in one transaction."""

UNKNOWN_KIND_GRACE = timedelta(hours=1)
"""A kind that this beat has not loaded is left to others so long: a deployment changes one beat at a time."""

UNENDED = (JobState.SCHEDULED, JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class Round:
    """What one round settled, in moments."""

    fired: int = 0
    buffered: int = 0
    skipped: int = 0
    missed: int = 0
    more: bool = False
    """There may be more to fire at once."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a schedule's runs get no job now."""

    reason: RunReason
    detail: str


@dataclass(frozen=True, slots=True)
class FiredRun:
    """A moment and the job it got."""

    nominal_time: datetime
    job_id: UUID
    replayed: bool = False
    """The idempotency key was known: this is the run it made."""


def timing_of(schedule: Schedule) -> Timing:
    """Return when *schedule* runs."""
    seconds = schedule.interval_seconds
    return Timing(
        cron=schedule.cron,
        interval=None if seconds is None else timedelta(seconds=seconds),
        time_zone=schedule.time_zone,
        starts_at=schedule.starts_at,
        ends_at=schedule.ends_at,
    )


def fire_due(
    relay: RelayDatabase, database: Database, publisher: Publisher, *, now: datetime | None = None
) -> Round:
    """Settle a batch of what is due by *now*, or by the database's clock, which all beats share.

    What fails for one organization is logged and left due; the others go on.
    """
    moment, due = find_due(relay, now=now)
    outcomes: list[str] = []
    for organization_id, schedule_ids in _apportioned(due):
        try:
            outcomes += _fire_together(database, publisher, organization_id, schedule_ids, now=moment)
        except Exception as error:  # whatever is wrong with one organization stops no other
            log.warning(
                "firing schedules failed",
                organization_id=str(organization_id),
                schedules=len(schedule_ids),
                error=type(error).__name__,
                exc_info=True,
            )
    counted = {state.value: outcomes.count(state) for state in RunState}
    if outcomes:
        log.info("schedules fired", **counted)
    return Round(**counted, more=len(due) == BATCH and bool(outcomes))


def find_due(
    relay: RelayDatabase, *, now: datetime | None = None
) -> tuple[datetime, Sequence[tuple[UUID, UUID]]]:
    """Return the moment looked at and the schedules due then, as organization and id."""
    # A scalar subquery can only be looked up run by run, where a join might read every job there is.
    its_job = (Job.organization_id == ScheduleRun.organization_id) & (Job.id == ScheduleRun.job_id)
    unended = (
        select(ScheduleRun.schedule_id)
        .where(
            ScheduleRun.organization_id == Schedule.organization_id,
            ScheduleRun.schedule_id == Schedule.id,
            ScheduleRun.open,
            select(Job.state).where(its_job).scalar_subquery().in_(UNENDED),
        )
        .exists()
    )
    with relay_session(relay) as session:
        moment = now or session.scalars(select(func.clock_timestamp())).one()
        key = select(Schedule.organization_id, Schedule.id).where(~Schedule.paused)
        ours = Schedule.kind.in_(KINDS) | (Schedule.next_nominal <= moment - UNKNOWN_KIND_GRACE)
        come = key.where(Schedule.next_nominal <= moment, ours).order_by(Schedule.next_nominal).limit(BATCH)
        waiting = key.where(Schedule.buffered_nominal.is_not(None), Schedule.kind.in_(KINDS), ~unended)
        found = [*session.execute(come), *session.execute(waiting.limit(BATCH))]
    return moment, list(dict.fromkeys((row.organization_id, row.id) for row in found))


def _apportioned(due: Iterable[tuple[UUID, UUID]]) -> list[tuple[UUID, list[UUID]]]:
    """Group by organization, in an order of this process's own: beats that found the same share the work."""
    of_organization: defaultdict[UUID, list[UUID]] = defaultdict(list)
    for organization_id, schedule_id in due:
        of_organization[organization_id].append(schedule_id)
    parts = [
        (organization_id, ids[begin : begin + FIRED_TOGETHER])
        for organization_id, ids in of_organization.items()
        for begin in range(0, len(ids), FIRED_TOGETHER)
    ]
    random.shuffle(parts)
    return parts


def _fire_together(
    database: Database,
    publisher: Publisher,
    organization_id: UUID,
    schedule_ids: Sequence[UUID],
    *,
    now: datetime,
) -> list[str]:
    """Settle schedules of one organization in one transaction; return what became of each moment."""
    tenant = load_tenant(database, organization_id)
    with tenant_session(database, organization_id) as session:
        rows = session.scalars(
            select(Schedule).where(Schedule.id.in_(schedule_ids)).execution_options(include_deleted=True)
        ).all()
    schedules = {schedule.id: schedule for schedule in rows}
    settled = call(
        database,
        organization_id,
        "fire_schedules",
        firings=[_firing(schedule, tenant, now=now) for schedule in rows],
        quota=quota_now(tenant) if tenant else {},
    )
    if tenant is not None:
        fresh = [
            _waiting(tenant, schedule, KINDS[schedule.kind].lane, row["made_job"], row["job_due"])
            for row in settled
            if row["became"] == RunState.FIRED and (schedule := schedules[row["fired_schedule"]])
        ]
        _publish(database, publisher, fresh)
    return [row["became"] for row in settled]


def _firing(schedule: Schedule, tenant: Tenant | None, *, now: datetime) -> Mapping[str, Any]:
    """Return what the database needs to settle *schedule*."""
    job: Mapping[str, Any] | Refusal
    try:
        timing_of(schedule).check()
    except TimingError as error:  # the time zone was abolished, say
        due, job = _last(schedule, now=now), Refusal(RunReason.TIMING, f"{error.field} {error}")
    else:
        catch_up = timedelta(seconds=schedule.catch_up_seconds)
        due = due_runs(timing_of(schedule), schedule.next_nominal, now=now, catch_up=catch_up)
        job = _job_or_refusal(schedule, tenant)
    jitter = timedelta(seconds=schedule.jitter_seconds)
    return {
        "id": schedule.id,
        "revision": schedule.revision,
        "expected": schedule.next_nominal,
        "following": due.following,
        "moments": [
            {"at": run.nominal, "due": jittered(schedule.id, run.nominal, jitter), "late": run.late}
            for run in due.runs
        ],
        **({"refusal": job.reason, "detail": job.detail} if isinstance(job, Refusal) else {"job": job}),
    }


def _last(schedule: Schedule, *, now: datetime) -> Due:
    """Return the moment that is known, and none after it."""
    following = schedule.next_nominal
    come = following is not None and following <= now
    return Due((DueRun(following, late=False),) if following and come else (), None)


def _job_or_refusal(schedule: Schedule, tenant: Tenant | None) -> Mapping[str, Any] | Refusal:
    """Return the job of a run, or why there can be none: the plan or the kind may have changed meanwhile."""
    if tenant is None or tenant.status != OrganizationStatus.ACTIVE:
        return Refusal(RunReason.ORGANIZATION, "the organization was not active")
    kind = KINDS.get(schedule.kind)
    if kind is None:
        return Refusal(RunReason.KIND, f"there is no kind {schedule.kind} any more")
    if kind.feature and not tenant.terms.offers(kind.feature):
        return Refusal(RunReason.FEATURE, str(FeatureNotInPlanError(kind.feature, tenant.plan)))
    gated = schedule.platform is None
    if gated and timing_of(schedule).shortest_gap() < tenant.terms.shortest_schedule:
        minutes = tenant.terms.shortest_schedule // timedelta(minutes=1)
        return Refusal(
            RunReason.INTERVAL, f"the plan {tenant.plan} runs a schedule every {minutes} min at most"
        )
    try:
        payload = kind.payload.model_validate(schedule.payload)
    except ValidationError as error:
        return Refusal(RunReason.PAYLOAD, f"the kind refuses the payload: {error.errors()[0]['msg']}")
    return _job(kind, payload, schedule.priority)


def _job(kind: JobKind[Any], payload: BaseModel, priority: int) -> Mapping[str, Any]:
    return {
        "kind": kind.name,
        "lane": kind.lane,
        "payload": payload.model_dump(mode="json"),
        "priority": priority,
        "max_attempts": kind.max_attempts,
        "meter": kind.meter,
        "quantity": kind.quantity(payload),
    }


def _publish(database: Database, publisher: Publisher, fresh: Sequence[Waiting]) -> None:
    """Publish jobs of one organization that were fired together, each with a trace of its own."""
    if not fresh:
        return
    organization_id = fresh[0].organization_id
    traceparents = originate(database, organization_id, [(job.job_id, job.kind) for job in fresh])
    tell(organization_id, [job.job_id for job in fresh])
    traced = [job._replace(traceparent=traceparents.get(job.job_id)) for job in fresh]
    publish_recorded(database, publisher, traced)


def _waiting(
    tenant: Tenant, schedule: Schedule, lane: Lane, job_id: UUID, due_at: datetime | None = None
) -> Waiting:
    return Waiting(
        organization_id=tenant.organization_id,
        terms=tenant.terms,
        job_id=job_id,
        kind=schedule.kind,
        lane=lane,
        attempts_made=0,
        priority=schedule.priority,
        due_at=due_at,
    )


def fire_moments(  # noqa: PLR0913 - who asks is apart from what is asked
    database: Database,
    tenant: Tenant,
    schedule: Schedule,
    kind: JobKind[Any],
    moments: Sequence[datetime],
    *,
    trigger: RunTrigger,
    publisher: Publisher,
    requested_by: UUID | None,
    idempotency_key: str | None = None,
) -> list[FiredRun]:
    """Fire *moments* because somebody asked: all that have no job yet, or none; returns those that got one.

    A key is for a single moment: used again for the same schedule, it returns the run that it made.

    Raises:
        SubmitError: One of its subclasses says why nothing was recorded.
    """
    if kind.feature and not tenant.terms.offers(kind.feature):
        raise FeatureNotInPlanError(kind.feature, tenant.plan)
    try:
        rows = call(
            database,
            tenant.organization_id,
            "run_schedule",
            schedule=schedule.id,
            moments=list(moments),
            asked_by=trigger,
            job=_job(kind, kind.payload.model_validate(schedule.payload), schedule.priority),
            quota=quota_now(tenant),
            requested_by=requested_by,
            key=idempotency_key,
            fingerprint=f"schedule/{schedule.id}/{trigger}",
        )
    except psycopg.Error as error:
        raise translated(error) from error
    fired = [FiredRun(row["fired_moment"], row["made_job"], row["replayed"]) for row in rows]
    fresh = [_waiting(tenant, schedule, kind.lane, run.job_id) for run in fired if not run.replayed]
    _publish(database, publisher, fresh)
    return fired

"""Bring back what has no message: publish the outbox, requeue lapsed leases, rebuild a lost queue.

Every pass is safe to run anywhere, any number of times at once: publishing is idempotent per attempt, and the
claim fences whatever is published twice.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from pydantic import ValidationError
from sqlalchemy import delete, func, select, text, tuple_
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.orm import Session

from config.plans import PLANS, STARTER, Plan, terms_of
from config.settings import get_settings
from models.job import Job, JobState, JobWait, OutboxRow
from models.organization import Organization, OrganizationStatus
from models.session import RelayDatabase, call_relay, relay_session
from worker.publish import BrokerAwayError, Publisher, Waiting

log = structlog.get_logger(__name__)

JOBS_A_LINE = 100
"""Of the log."""

BATCH = 1_000
"""Rows per statement and per publish."""

PAGES_PER_PASS = 20
"""Pages of the outbox, and of jobs for a queue that may have lost them, that one pass publishes."""

SUBMITTER_GRACE_S = 2.0
"""An outbox row younger than this is its submitter's to publish."""

REBUILD_EVERY_S = 900.0

MONTHS_AHEAD = 2
"""Partitions of months to come that stand ready."""

WAITING_STATES = (JobState.QUEUED, JobState.SCHEDULED)


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass of the relay found and did."""

    requeued: int = 0
    """Running jobs whose lease had lapsed."""
    published: int = 0
    """Jobs that had no message."""
    rebuilt: int = 0
    """Jobs offered to a queue that had lost its memory."""
    failed: tuple[str, ...] = ()
    """Steps that did not get through; the next pass tries again."""


@dataclass(slots=True)
class Progress:
    """How far a queue has been offered the waiting jobs."""

    generation: str
    place: tuple[UUID, UUID] = (UUID(int=0), UUID(int=0))
    missing: int = 0
    """Jobs that the queue did not have."""
    offered: int = 0
    done: bool = False

    def values(self) -> dict[str, Any]:
        """Return what is written to the relay's state."""
        organization, job = self.place
        return {
            "generation": self.generation,
            "organization": organization,
            "job": job,
            "missing": self.missing,
        }


STATE = text("SELECT *, pg_postmaster_start_time() AS postgres_started FROM app.relay_state")
DONE = text(
    "UPDATE app.relay_state SET queue_generation = :generation, rebuilding = NULL, missing = :missing,"
    " missing_so_far = 0"
)
GOING_ON = text(
    "UPDATE app.relay_state SET rebuilding = :generation, rebuilt_organization = :organization,"
    " rebuilt_job = :job, missing_so_far = :missing"
)


def run_pass(database: RelayDatabase, publisher: Publisher) -> Pass:
    """Do everything that is due, a batch of each; *database* is the relay's own.

    A step that fails is logged and keeps no other from its work.
    """
    steps: dict[str, Callable[[], int]] = {
        "requeued": lambda: requeue_lapsed(database),
        "rebuilt": lambda: rebuild_if_lost(database, publisher),
        "published": lambda: publish_outbox(database, publisher),
    }
    counts = {name: _attempted(name, step) for name, step in steps.items()}
    failed = tuple(name for name, count in counts.items() if count is None)
    done = Pass(**{name: count or 0 for name, count in counts.items()}, failed=failed)
    if done != Pass(failed=failed):
        log.info("relay pass", requeued=done.requeued, published=done.published, rebuilt=done.rebuilt)
    return done


def _attempted(name: str, step: Callable[[], int]) -> int | None:
    """Do a step of a pass; None when it failed."""
    try:
        return step()
    except BrokerAwayError as error:
        log.warning("Redis is away; jobs wait in the outbox", step=name, reason=str(error))
    except Exception as error:  # whatever is wrong with one step, the others must go on
        log.warning("a step of the relay failed", step=name, error=type(error).__name__, exc_info=True)
    return None


def requeue_lapsed(database: RelayDatabase) -> int:
    """Put running jobs whose lease lapsed back into the outbox."""
    return int(call_relay(database, "requeue_lapsed", batch=BATCH)[0]["requeue_lapsed"])


def publish_outbox(database: RelayDatabase, publisher: Publisher) -> int:
    """Publish what stands in the outbox and forget it, some pages at most; answers how many."""
    published = 0
    for _ in range(PAGES_PER_PASS):
        page = publish_oldest(database, publisher)
        published += page
        if page < BATCH:
            break
    return published


def publish_oldest(database: RelayDatabase, publisher: Publisher) -> int:
    """Publish the oldest rows of the outbox that their submitter left, and forget them."""
    columns = (
        OutboxRow.organization_id,
        Organization.plan,
        Organization.plan_overrides,
        OutboxRow.job_id,
        OutboxRow.kind,
        OutboxRow.lane,
        OutboxRow.attempt,
        OutboxRow.priority,
        OutboxRow.due_at,
        Job.request_id,
        Job.traceparent,
    )
    left_alone = func.now() - text(f"interval '{SUBMITTER_GRACE_S} seconds'")
    oldest = (
        select(*columns)
        .join(Organization, Organization.organization_id == OutboxRow.organization_id)
        .outerjoin(Job, (Job.organization_id == OutboxRow.organization_id) & (Job.id == OutboxRow.job_id))
        .where(
            OutboxRow.created_at < left_alone,
            Organization.status == OrganizationStatus.ACTIVE,
            Organization.region == get_settings().region,
        )
        .order_by(OutboxRow.created_at)
        .limit(BATCH)
    )
    with relay_session(database) as session:
        rows = session.execute(oldest).all()
        publisher.publish(_waiting(row) for row in rows)
        _tell(rows)
        _forget(session, rows)
    return len(rows)


def _forget(session: Session, rows: Sequence[Any]) -> None:
    """Delete outbox rows, except those that a claim deletes: each could wait for the other."""
    # With the attempt: by now a row may stand for the next one.
    columns = (OutboxRow.organization_id, OutboxRow.job_id, OutboxRow.attempt)
    published = [(row.organization_id, row.job_id, row.attempt) for row in rows]
    held = select(*columns).where(tuple_(*columns).in_(published)).with_for_update(skip_locked=True)
    free = session.execute(held).all()
    session.execute(delete(OutboxRow).where(tuple_(*columns).in_(free)))


def _tell(rows: Sequence[Any]) -> None:
    """Let the log say which jobs got their messages from the relay: lines that no log shipper cuts."""
    for at in range(0, len(rows), JOBS_A_LINE):
        log.info("jobs published", jobs=[str(row.job_id) for row in rows[at : at + JOBS_A_LINE]])


def rebuild_if_lost(database: RelayDatabase, publisher: Publisher) -> int:
    """Offer waiting jobs to a queue that is not the one we knew, some pages a pass; answers how many.

    The generation names the Redis process, a key within it and the Postgres process: a restart, an emptied or
    a swapped Redis shows in it, and so does a Postgres that lost claims it had not flushed. It also changes
    every quarter of an hour: whatever lost its message in a way nobody thought of waits no longer than that.
    The same beat makes the partitions of the months to come and drops those that are not kept any longer.
    """
    with relay_session(database) as session:
        state = session.execute(STATE).one()
    period = int(time.time() / REBUILD_EVERY_S)
    generation = f"{publisher.generation()}:{state.postgres_started.timestamp()}:{period}"
    if generation == state.queue_generation:
        return 0
    progress = Progress(generation)
    if state.rebuilding == generation:
        place = (state.rebuilt_organization, state.rebuilt_job)
        progress = Progress(generation, place, missing=state.missing_so_far)
    else:
        _begin_rebuild(database, publisher)
    _offer_pages(database, publisher, progress)
    with relay_session(database) as session:
        session.execute(DONE if progress.done else GOING_ON, progress.values())
    return progress.offered


def _begin_rebuild(database: RelayDatabase, publisher: Publisher) -> None:
    entitle_paused(database, publisher)
    _attempted("months", lambda: turn_months(database))


def turn_months(database: RelayDatabase) -> int:
    """Make the partitions of the months to come, and drop those of the history that nobody keeps any more."""
    call_relay(database, "ensure_event_partitions", ahead=MONTHS_AHEAD)
    [turned] = call_relay(database, "turn_history", ahead=MONTHS_AHEAD, kept=get_settings().history_kept)
    return int(turned["made"] + turned["dropped"])


def _offer_pages(database: RelayDatabase, publisher: Publisher, progress: Progress) -> None:
    """Offer a bounded number of jobs; another beat that does the same meanwhile does no harm."""
    for _ in range(PAGES_PER_PASS):
        page = _page_of_waiting_jobs(database, progress.place)
        if not page:
            progress.done = True
            return
        for organization_id, terms in {job.organization_id: job.terms for job in page}.items():
            publisher.entitle(organization_id, terms)
        progress.missing += publisher.publish(page)
        progress.offered += len(page)
        progress.place = (page[-1].organization_id, page[-1].job_id)


def entitle_paused(database: RelayDatabase, publisher: Publisher) -> None:
    """Let the queue know who is paused, before anything of theirs is offered.

    A queue that lost its memory lost the pauses too, and an organization with nothing waiting now may have
    jobs tomorrow.
    """
    overrides = Organization.plan_overrides
    paused = select(Organization.organization_id, Organization.plan, overrides).where(
        overrides.has_any(array(["paused", "paused_kinds"])),
        Organization.status == OrganizationStatus.ACTIVE,
    )
    with relay_session(database) as session:
        rows = session.execute(paused).all()
    for row in rows:
        publisher.entitle(row.organization_id, _terms(*row))


def _page_of_waiting_jobs(database: RelayDatabase, after: tuple[UUID, UUID]) -> list[Waiting]:
    waits_for_another = (
        select(JobWait.job_id)
        .where(JobWait.organization_id == Job.organization_id, JobWait.job_id == Job.id)
        .exists()
    )
    page = (
        select(
            Job.organization_id,
            Organization.plan,
            Organization.plan_overrides,
            Job.id,
            Job.kind,
            Job.lane,
            Job.attempt,
            Job.priority,
            Job.run_at,
            Job.request_id,
            Job.traceparent,
        )
        .join(Organization, Organization.organization_id == Job.organization_id)
        .where(
            tuple_(Job.organization_id, Job.id) > after,
            Job.state.in_(WAITING_STATES),
            ~waits_for_another,
            Organization.status == OrganizationStatus.ACTIVE,
            Organization.region == get_settings().region,
        )
        .order_by(Job.organization_id, Job.id)
        .limit(BATCH)
    )
    with relay_session(database) as session:
        return [_waiting(row) for row in session.execute(page)]


def _waiting(row: Sequence[Any]) -> Waiting:
    organization_id, plan, overrides, *job = row
    return Waiting(organization_id, _terms(organization_id, plan, overrides), *job)


def _terms(organization_id: UUID, plan: str, overrides: Mapping[str, Any]) -> Plan:
    """Return an organization's terms; what makes no sense must not stop everybody's relay."""
    try:
        return terms_of(plan, overrides)
    except (KeyError, ValidationError) as error:
        log.warning("terms not understood", organization=str(organization_id), error=str(error))
        return PLANS.get(plan, STARTER)

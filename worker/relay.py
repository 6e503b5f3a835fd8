"""Bring back what has no message: publish the outbox, requeue lapsed leases, rebuild a lost queue.

Every pass is safe to run anywhere, any number of times at once: publishing is idempotent per attempt, and the
claim fences whatever is published twice.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import delete, func, select, text, tuple_
from sqlalchemy.dialects.postgresql import array

from config.plans import terms_of
from config.settings import get_settings
from models.job import Job, JobState, JobWait, OutboxRow
from models.organization import Organization, OrganizationStatus
from models.session import RelayDatabase, call_relay, relay_session
from worker.publish import BrokerAwayError, Publisher, Waiting

log = structlog.get_logger(__name__)

BATCH = 1_000
"""Rows per statement and per publish."""

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


def run_pass(database: RelayDatabase, publisher: Publisher) -> Pass:
    """Do everything that is due, a batch of each; *database* is the relay's own."""
    requeued = requeue_lapsed(database)
    try:
        rebuilt = rebuild_if_lost(database, publisher)
        published = publish_outbox(database, publisher)
    except BrokerAwayError as error:
        log.warning("Redis is away; jobs wait in the outbox", reason=str(error))
        return Pass(requeued=requeued)
    done = Pass(requeued=requeued, published=published, rebuilt=rebuilt)
    if done != Pass():
        log.info("relay pass", requeued=requeued, published=published, rebuilt=rebuilt)
    return done


def requeue_lapsed(database: RelayDatabase) -> int:
    """Put running jobs whose lease lapsed back into the outbox."""
    return int(call_relay(database, "requeue_lapsed", batch=BATCH)[0]["requeue_lapsed"])


def publish_outbox(database: RelayDatabase, publisher: Publisher) -> int:
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
    )
    left_alone = func.now() - text(f"interval '{SUBMITTER_GRACE_S} seconds'")
    oldest = (
        select(*columns)
        .join(Organization, Organization.organization_id == OutboxRow.organization_id)
        .where(OutboxRow.created_at < left_alone, Organization.status == OrganizationStatus.ACTIVE)
        .order_by(OutboxRow.created_at)
        .limit(BATCH)
    )
    with relay_session(database) as session:
        rows = session.execute(oldest).all()
        publisher.publish(_waiting(row) for row in rows)
        # With the attempt: by now a row may stand for the next one.
        published = [(row.organization_id, row.job_id, row.attempt) for row in rows]
        key = tuple_(OutboxRow.organization_id, OutboxRow.job_id, OutboxRow.attempt)
        session.execute(delete(OutboxRow).where(key.in_(published)))
    return len(rows)


def rebuild_if_lost(database: RelayDatabase, publisher: Publisher) -> int:
    """Offer every waiting job to a queue that is not the one we knew; answers how many.

    The generation names the Redis process, a key within it and the Postgres process: a restart, an emptied or
    a swapped Redis shows in it, and so does a Postgres that lost claims it had not flushed. It also changes
    every quarter of an hour: whatever lost its message in a way nobody thought of waits no longer than that.
    The same beat makes the partitions of the months to come and drops those that are not kept any longer.
    """
    with relay_session(database) as session:
        known, postgres_started = session.execute(
            text("SELECT queue_generation, pg_postmaster_start_time() FROM app.relay_state")
        ).one()
    period = int(time.time() / REBUILD_EVERY_S)
    generation = f"{publisher.generation()}:{postgres_started.timestamp()}:{period}"
    if generation == known:
        return 0
    entitle_paused(database, publisher)
    offered = 0
    for page in pages_of_waiting_jobs(database):
        for organization_id, terms in {job.organization_id: job.terms for job in page}.items():
            publisher.entitle(organization_id, terms)
        publisher.publish(page)
        offered += len(page)
    call_relay(database, "ensure_event_partitions", ahead=MONTHS_AHEAD)
    call_relay(database, "turn_history", ahead=MONTHS_AHEAD, kept=get_settings().history_kept)
    with relay_session(database) as session:
        session.execute(text("UPDATE app.relay_state SET queue_generation = :new"), {"new": generation})
    return offered


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
        publisher.entitle(row.organization_id, terms_of(row.plan, row.plan_overrides))


def pages_of_waiting_jobs(database: RelayDatabase) -> Iterator[list[Waiting]]:
    """Yield every waiting job of every active organization, in pages ordered by their key."""
    after: tuple[UUID, UUID] = (UUID(int=0), UUID(int=0))
    while page := _page_of_waiting_jobs(database, after):
        yield page
        after = (page[-1].organization_id, page[-1].job_id)


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
        )
        .join(Organization, Organization.organization_id == Job.organization_id)
        .where(
            tuple_(Job.organization_id, Job.id) > after,
            Job.state.in_(WAITING_STATES),
            ~waits_for_another,
            Organization.status == OrganizationStatus.ACTIVE,
        )
        .order_by(Job.organization_id, Job.id)
        .limit(BATCH)
    )
    with relay_session(database) as session:
        return [_waiting(row) for row in session.execute(page)]


def _waiting(row: Sequence[Any]) -> Waiting:
    organization_id, plan, overrides, *rest = row
    return Waiting(organization_id, terms_of(plan, overrides), *rest)

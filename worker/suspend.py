"""Learn which running jobs belong to organizations that were suspended, and take them back.

A run is asked to stop, then interrupted, then its job is taken away from it and its process ended. The job
waits again, with as many attempts as before, until the organization is active. Threads cannot be interrupted:
there a job is taken away only if what it does after that counts for nothing; one that calls the outside goes
on to its next safe step, since a second run beside it could do the same again.
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog

from models.session import Database, call, call_for_each
from worker.context import Claim, RetryLaterError

log = structlog.get_logger(__name__)

LOOK_EVERY = timedelta(seconds=1)
"""Runs that are older than this are looked after; shorter ones end by themselves."""
TAKE_BACK_AT = 3
"""Looks: at the first a run is asked to stop, at the second it is interrupted."""

REASON = "the organization is not active; it goes on once it is"


class OrganizationSuspendedError(RetryLaterError):
    """The job's organization was suspended while it ran; the attempt does not count."""

    def __init__(self) -> None:
        super().__init__(REASON, after=timedelta(milliseconds=1))


def find_stopped(database: Database, organization_ids: Collection[UUID]) -> set[UUID]:
    """Return those whose jobs must not go on, in one round trip."""
    rows = call_for_each(database, list(organization_ids), "find_stopped")
    return {row["find_stopped"] for row in rows}


def take_back(database: Database, claim: Claim) -> bool:
    """Take a job from its run, which can complete nothing any more; False: it has ended already."""
    rows = call(
        database,
        claim.organization_id,
        "fail_job",
        job=claim.job_id,
        held_attempt=claim.attempt,
        why={"type": OrganizationSuspendedError.__name__, "message": REASON},
        retry_at=datetime.now(UTC),
        counts=False,
    )
    log.warning("took a job back from a run that went on", job=str(claim.job_id), taken=bool(rows))
    return bool(rows)

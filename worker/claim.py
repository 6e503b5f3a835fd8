"""Take the job that a message points to, for this process alone."""

import os
from collections.abc import Sequence
from functools import cache, partial
from uuid import UUID

from config.settings import get_settings
from models.session import Database, Row, call, call_for_each
from worker.coalesce import Coalescer
from worker.context import Claim
from worker.lease import WORKER
from worker.pointer import Pointer

CLAIMS_AT_ONCE = 64


class JobBusyError(Exception):
    """Somebody has the job's row in hand: its message must come again."""

    def __init__(self, job_id: UUID) -> None:
        super().__init__(f"job {job_id} is in somebody's hands")
        self.job_id = job_id


def take(database: Database, pointer: Pointer) -> Claim | None:
    """Claim the attempt for this process; None when the job has moved on and the message may go.

    Raises:
        JobBusyError: Its row is locked, so that nobody knows.
    """
    if pointer.expired:
        call(database, pointer.organization_id, "republish_job", job=pointer.job_id)
        return None
    claimed = get_claims(database)(pointer)
    if isinstance(claimed, JobBusyError):
        raise claimed
    return claimed


@cache
def get_claims(database: Database) -> Coalescer[Pointer, Claim | JobBusyError | None]:
    """Return what claims in one round trip for all threads of this process that ask at the same time."""
    return Coalescer(partial(claim, database), most=CLAIMS_AT_ONCE)


os.register_at_fork(after_in_child=get_claims.cache_clear)


def claim(database: Database, pointers: Sequence[Pointer]) -> list[Claim | JobBusyError | None]:
    """Claim what each pointer names; None stands for a job that has moved on."""
    rows = call_for_each(
        database,
        [pointer.organization_id for pointer in pointers],
        "claim_jobs",
        jobs=[pointer.job_id for pointer in pointers],
        attempts_made=[pointer.attempts_made for pointer in pointers],
        worker=WORKER,
        lease=get_settings().lease_time,
    )
    answers = {row["job_id"]: row for row in rows}
    return [_answer(pointer, answers.get(pointer.job_id)) for pointer in pointers]


def _answer(pointer: Pointer, row: Row | None) -> Claim | JobBusyError | None:
    if row is None:
        return None
    if row["kind"] is None:
        return JobBusyError(pointer.job_id)
    return Claim(pointer.organization_id, **row)

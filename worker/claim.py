"""Take the job that a message points to, for this process alone."""

import os
from collections.abc import Sequence
from functools import cache, partial

from config.settings import get_settings
from models.session import Database, call, call_for_each
from worker.coalesce import Coalescer
from worker.context import Claim
from worker.lease import WORKER
from worker.pointer import Pointer

CLAIMS_AT_ONCE = 64


def take(database: Database, pointer: Pointer) -> Claim | None:
    """Claim the attempt for this process; None when the job has moved on and the message may go."""
    if pointer.expired:
        call(database, pointer.organization_id, "republish_job", job=pointer.job_id)
        return None
    return get_claims(database)(pointer)


@cache
def get_claims(database: Database) -> Coalescer[Pointer, Claim | None]:
    """Return what claims in one round trip for all threads of this process that ask at the same time."""
    return Coalescer(partial(claim, database), most=CLAIMS_AT_ONCE)


os.register_at_fork(after_in_child=get_claims.cache_clear)


def claim(database: Database, pointers: Sequence[Pointer]) -> list[Claim | None]:
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
    claimed = {row["job_id"]: row for row in rows}
    return [
        Claim(pointer.organization_id, **row) if (row := claimed.get(pointer.job_id)) else None
        for pointer in pointers
    ]

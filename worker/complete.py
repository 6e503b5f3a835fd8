"""Record that attempts succeeded: in the transaction of their effects, or after effects outside."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
import psycopg
from psycopg.types.json import Jsonb

from models.session import Database, call
from models.transaction import TenantTransaction
from worker.context import Claim, Completion, LeaseLostError

LEASE_LOST = "GL001"
"""What our database functions raise when an attempt is not the caller's any more."""

COMPLETE = (
    "SELECT app.complete_jobs(NULL, %(jobs)s, %(held_attempts)s, %(outcomes)s, %(quantities)s::bigint[])"
)
COMPLETE_HELD = """
SELECT app.complete_held_jobs(%(jobs)s, %(held_attempts)s, %(outcomes)s, %(quantities)s::bigint[], %(worker)s)
"""


def commit_completion(transaction: TenantTransaction, claim: Claim, completion: Completion) -> None:
    """Complete the attempt and commit it with its effects.

    Raises:
        LeaseLostError: Somebody else holds the job; nothing was committed.
    """
    with lease_lost_as_error():
        transaction.commit(COMPLETE, columns([claim], [completion]))


def commit_held(
    transaction: TenantTransaction, claims: Sequence[Claim], completions: Sequence[Completion], worker: str
) -> None:
    """Begin, complete and commit attempts whose rows the transaction has locked."""
    with lease_lost_as_error():
        transaction.commit(COMPLETE_HELD, columns(claims, completions) | {"worker": worker})


def record_completion(database: Database, claim: Claim, completion: Completion) -> None:
    """Complete an attempt that has left its effects outside.

    Raises:
        LeaseLostError: Somebody else holds the job.
    """
    with lease_lost_as_error():
        call(database, claim.organization_id, "complete_jobs", **columns([claim], [completion]))


def columns(claims: Sequence[Claim], completions: Sequence[Completion]) -> dict[str, Any]:
    """Return what the database functions take, one element a job."""
    return {
        "jobs": [claim.job_id for claim in claims],
        "held_attempts": [claim.attempt for claim in claims],
        "outcomes": [Jsonb(completion.result, dumps=orjson.dumps) for completion in completions],
        "quantities": [completion.quantity for completion in completions],
    }


@contextmanager
def lease_lost_as_error() -> Iterator[None]:
    """Turn what the database says into an error of ours."""
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate != LEASE_LOST:
            raise
        raise LeaseLostError("the attempt is not ours any more") from error

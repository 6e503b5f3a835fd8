"""Run brief jobs: those of one organization and kind that wait in this process together share a transaction.

The lock on their rows is their lease. If anything is wrong with one of them nothing of the group has
happened, and each runs by itself the ordinary way, which counts attempts and keeps leases.
"""

import os
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog
from celery.exceptions import Reject, SoftTimeLimitExceeded
from structlog.contextvars import bound_contextvars

from models.session import Database
from models.transaction import TenantTransaction, tenant_transaction
from worker.coalesce import Coalescer
from worker.complete import commit_held
from worker.context import Claim, Completion, DatabaseJob
from worker.lease import WORKER
from worker.origin import origin_of
from worker.pointer import Pointer
from worker.tracing import run_of

if TYPE_CHECKING:
    from worker.job import JobKind

log = structlog.get_logger(__name__)

MOST_IN_A_GROUP = 64
GROUPS_AT_ONCE = 2
"""Of a kind, in one process: while one waits for Postgres another runs, and the others grow."""

HOLD = "SELECT * FROM app.hold_jobs(%(jobs)s, %(attempts_made)s)"


def may_be_brief(kind: "JobKind[Any]", pointer: Pointer, *, redelivered: bool) -> bool:
    """Tell whether a message may be run in a group.

    Not when something went wrong with its job before: an attempt whose process dies in a group leaves no
    trace, so a job that kills its process would do so for ever.
    """
    return kind.brief and pointer.attempts_made == 0 and not redelivered and not pointer.expired


def run_brief(
    database: Database, kind: "JobKind[Any]", body: "Callable[..., Completion]", pointer: Pointer
) -> bool:
    """Run the attempt together with others; False leaves it to be claimed and run by itself."""
    return get_groups(database, kind, body)(pointer)


@cache
def get_groups(
    database: Database, kind: "JobKind[Any]", body: "Callable[..., Completion]"
) -> Coalescer[Pointer, bool]:
    """Return what groups the brief jobs of a kind in this process, one organization's at a time."""
    return Coalescer(
        partial(run_group, database, kind, body),
        most=MOST_IN_A_GROUP,
        key=_organization,
        at_once=GROUPS_AT_ONCE,
    )


def _organization(pointer: Pointer) -> UUID:
    return pointer.organization_id


os.register_at_fork(after_in_child=get_groups.cache_clear)


def run_group(
    database: Database,
    kind: "JobKind[Any]",
    body: "Callable[..., Completion]",
    pointers: Sequence[Pointer],
) -> list[bool]:
    """Run jobs of one organization in one transaction; tells of each whether it has succeeded.

    Raises:
        Reject: A time limit struck. What is left of it is no time for another run: the message comes again.
    """
    try:
        with tenant_transaction(database, pointers[0].organization_id) as transaction:
            claims = hold(transaction, pointers)
            completions = [run_one(kind, body, claim, transaction) for claim in claims]
            if claims:
                commit_held(transaction, claims, completions, WORKER)
    except SoftTimeLimitExceeded as error:
        raise Reject("a brief job took too long; it runs again by itself", requeue=True) from error
    except Exception as error:  # noqa: BLE001 - whatever it was, the ordinary way finds out whose fault it is
        log.info("brief jobs are run one by one", jobs=len(pointers), reason=type(error).__name__)
        return [False] * len(pointers)
    done = {claim.job_id for claim in claims}
    return [pointer.job_id in done for pointer in pointers]


def hold(transaction: TenantTransaction, pointers: Sequence[Pointer]) -> list[Claim]:
    """Lock the jobs that may begin, for as long as the transaction lasts."""
    attempts_made = {pointer.job_id: pointer.attempts_made for pointer in pointers}  # a job once
    jobs, made = list(attempts_made), list(attempts_made.values())
    rows = transaction.execute(HOLD, {"jobs": jobs, "attempts_made": made}).fetchall()
    return [Claim(pointers[0].organization_id, **row) for row in rows]


def run_one(
    kind: "JobKind[Any]", body: "Callable[..., Completion]", claim: Claim, transaction: TenantTransaction
) -> Completion:
    """Call the body for one job of a group."""
    names = {"organization": str(claim.organization_id), "job": str(claim.job_id), "kind": claim.kind}
    with bound_contextvars(**names, **origin_of(claim.job_id).log_fields()), run_of(claim.job_id):
        return body(DatabaseJob(claim, transaction), kind.payload.model_validate(claim.payload))

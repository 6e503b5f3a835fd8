"""Run brief jobs: those of one organization and kind that a worker holds together share a transaction.

The lock on their rows is their lease. If anything is wrong with one of them nothing of the group has
happened, and each runs by itself the ordinary way, which counts attempts and keeps leases.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from structlog.contextvars import bound_contextvars

from models.session import Database, get_database
from models.transaction import TenantTransaction, tenant_transaction
from worker.complete import commit_held
from worker.context import Claim, Completion, DatabaseJob
from worker.lease import WORKER
from worker.origin import Origin, coming_from, origin_of
from worker.pointer import Pointer
from worker.region import refuse_elsewhere
from worker.tracing import process

if TYPE_CHECKING:
    from worker.job import JobKind

log = structlog.get_logger(__name__)

HOLD = "SELECT * FROM app.hold_jobs(%(jobs)s, %(attempts_made)s)"


def may_be_brief(kind: "JobKind[Any]", pointer: Pointer, *, redelivered: bool) -> bool:
    """Tell whether a message may be run in a group.

    Not when something went wrong with its job before: an attempt whose process dies in a group leaves no
    trace, so a job that kills its process would do so for ever.
    """
    return kind.brief and pointer.attempts_made == 0 and not redelivered and not pointer.expired


class Verdict(StrEnum):
    """What is to be done with the message of a job that was to run in a group."""

    DONE = "done"
    ALONE = "alone"
    """Nothing has happened; it runs by itself."""
    AGAIN = "again"
    """The message goes back and comes again."""


BODIES: dict[str, tuple["JobKind[Any]", Callable[..., Completion]]] = {}
"""Every kind that this process has loaded, with its body, by name."""

Message = tuple[Pointer, Origin]


def run_messages(name: str, messages: Sequence[Message]) -> list[Verdict]:
    """Run messages of one kind and organization in one transaction; the pool calls it, maybe in a child."""
    kind, body = BODIES[name]
    with coming_from({str(pointer.job_id): origin for pointer, origin in messages}):
        return run_group(get_database(), kind, body, [pointer for pointer, _ in messages])


def run_group(
    database: Database,
    kind: "JobKind[Any]",
    body: "Callable[..., Completion]",
    pointers: Sequence[Pointer],
) -> list[Verdict]:
    """Run jobs of one organization in one transaction; tells of each what is to become of its message."""
    try:
        refuse_elsewhere(database, pointers[0].organization_id)
        with tenant_transaction(database, pointers[0].organization_id) as transaction:
            claims = hold(transaction, pointers)
            completions = [run_one(kind, body, claim, transaction) for claim in claims]
            if claims:
                commit_held(transaction, claims, completions, WORKER)
    except SoftTimeLimitExceeded:
        # What is left until the hard limit is no time for another run.
        log.warning("brief jobs took too long: each runs again by itself", jobs=len(pointers))
        return [Verdict.AGAIN] * len(pointers)
    except Exception as error:  # noqa: BLE001 - whatever it was, the ordinary way finds out whose fault it is
        log.info("brief jobs are run one by one", jobs=len(pointers), reason=type(error).__name__)
        return [Verdict.ALONE] * len(pointers)
    done = {claim.job_id for claim in claims}
    log.info("brief jobs succeeded", kind=kind.name, jobs=[str(job_id) for job_id in done])
    return [Verdict.DONE if pointer.job_id in done else Verdict.ALONE for pointer in pointers]


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
    origin, organization, job = origin_of(claim.job_id), str(claim.organization_id), str(claim.job_id)
    with (
        bound_contextvars(organization=organization, job=job, kind=claim.kind, **origin.log_fields()),
        process(kind.name, origin, organization, job),
    ):
        return body(DatabaseJob(claim, transaction), kind.payload.model_validate(claim.payload))

"""One attempt of one job: claim, run, complete or fail, acknowledge by returning."""

import time
import traceback
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, assert_never

import structlog
from celery.exceptions import Reject, SoftTimeLimitExceeded
from sqlalchemy.orm import Session
from structlog.contextvars import bound_contextvars

from config.plans import terms_of
from config.settings import get_settings
from models.acting import acted_by
from models.job import JobState
from models.session import Database, call, get_database, tenant_session
from models.transaction import tenant_transaction
from worker.backoff import retry_moment
from worker.claim import JobBusyError, take
from worker.complete import commit_completion, record_completion
from worker.context import (
    Claim,
    Completion,
    DatabaseJob,
    Effects,
    JobError,
    LeaseLostError,
    OutsideJob,
    RetryLaterError,
)
from worker.ending import Ending
from worker.lease import Hold, get_lease_keeper
from worker.origin import origin_of
from worker.pointer import ForgedPointerError, read_pointer
from worker.publish import Waiting, get_publisher, publish_recorded
from worker.region import refuse_elsewhere
from worker.tracing import span

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.job import JobKind

log = structlog.get_logger(__name__)

EXPECTED = (JobError, SoftTimeLimitExceeded)
"""Errors that are part of a job's life, with words of our own."""

BODIES = "tasks."
"""Where bodies of jobs live: the place of an error tells equal ones from others."""

GIVE_BACK_PAUSE_S = 0.5
"""Before a message goes back because Postgres is away, say, so that it does not spin."""


def execute(
    kind: "JobKind[Any]",
    body: "Callable[..., Completion]",
    arguments: tuple[object, ...],
    *,
    tenant: object,
) -> Ending:
    """Run the attempt that a message points to; nothing runs when the job has moved on.

    *tenant* is in whose name the message stood in the queue.

    Raises:
        Reject: What became of the attempt is not known; the message goes back and finds out.
    """
    secret = get_settings().pointer_secret.get_secret_value().encode()
    database = get_database()
    try:
        pointer = read_pointer(kind.name, arguments, secret, tenant=tenant)
        refuse_elsewhere(database, pointer.organization_id)
        with span("claim"):
            claim = take(database, pointer)
        if claim is not None:
            with (
                bound_contextvars(**name(claim)),
                acted_by(f"job:{claim.job_id}"),
                get_lease_keeper().hold(claim, fenced=kind.effects is Effects.DATABASE) as hold,
            ):
                return attempt(database, kind, body, hold)
    except ForgedPointerError as error:
        log.error("forged message dropped", reason=str(error))  # noqa: TRY400 - the trace tells nothing
        return Ending.FORGED
    except LeaseLostError as error:
        raise Reject(str(error), requeue=True) from error
    except JobBusyError as error:
        time.sleep(GIVE_BACK_PAUSE_S)
        raise Reject(str(error), requeue=True) from error
    except Reject:
        raise
    except Exception as error:
        log.exception("message given back: what became of the attempt is not known")
        time.sleep(GIVE_BACK_PAUSE_S)
        raise Reject("given back", requeue=True) from error
    return Ending.MOVED_ON


def attempt(
    database: Database, kind: "JobKind[Any]", body: "Callable[..., Completion]", hold: Hold
) -> Ending:
    """Run the body and record how it ended."""
    try:
        payload = kind.payload.model_validate(hold.claim.payload)
        match kind.effects:
            case Effects.DATABASE:
                run_in_database(database, body, hold.claim, payload)
            case Effects.OUTSIDE:
                run_outside(database, body, hold, payload)
            case unreachable:
                assert_never(unreachable)
        log.info("job succeeded")
        return Ending.SUCCEEDED  # noqa: TRY300 - its failures have answers of their own
    except LeaseLostError:
        log.warning("lease lost: the attempt left no effects")
        raise
    except EXPECTED as error:
        return fail(database, kind, hold.claim, hold.reason_of(error))
    except Exception as error:
        log.exception("unexpected error in a job")
        return fail(database, kind, hold.claim, hold.reason_of(error))


def run_in_database(
    database: Database, body: "Callable[..., Completion]", claim: Claim, payload: Any
) -> None:
    """Commit the effects and the completion together, or neither."""
    with tenant_transaction(database, claim.organization_id) as transaction:
        with span("run", attempt=claim.attempt):
            completion = body(DatabaseJob(claim, transaction), payload)
        with span("complete"):
            commit_completion(transaction, claim, completion)


def run_outside(database: Database, body: "Callable[..., Completion]", hold: Hold, payload: Any) -> None:
    """Let the body open its own short transactions; complete in one more."""
    transaction: Callable[[], AbstractContextManager[Session]] = partial(
        tenant_session, database, hold.claim.organization_id
    )
    with span("run", attempt=hold.claim.attempt):
        completion = body(OutsideJob(hold.claim, transaction, hold.check), payload)
    with span("complete"):
        record_completion(database, hold.claim, completion)


def fail(database: Database, kind: "JobKind[Any]", claim: Claim, error: Exception) -> Ending:
    """Record a failed attempt, and publish the next one when there is one."""
    retry_at = retry_moment(error, attempt=claim.attempt, base=kind.backoff)
    rows = call(
        database,
        claim.organization_id,
        "fail_job",
        job=claim.job_id,
        held_attempt=claim.attempt,
        why=describe(error),
        retry_at=retry_at,
        counts=not (isinstance(error, RetryLaterError) and error.after),
    )
    if not rows:
        raise LeaseLostError(f"attempt {claim.attempt} is not ours any more")
    log.warning("attempt failed", state=rows[0]["state"], error=type(error).__name__, retry_at=retry_at)
    if rows[0]["state"] in {JobState.DEAD, JobState.CANCELLED}:
        return Ending(rows[0]["state"])
    if rows[0]["state"] == JobState.QUEUED:
        waiting = Waiting(
            organization_id=claim.organization_id,
            terms=terms_of(rows[0]["plan"], rows[0]["plan_overrides"]),
            job_id=claim.job_id,
            kind=claim.kind,
            lane=kind.lane,
            attempts_made=claim.attempt,
            priority=rows[0]["priority"],
            due_at=retry_at,
            **origin_of(claim.job_id).trail(),
        )
        publish_recorded(database, get_publisher(), [waiting])
    return Ending.RETRIED


def describe(error: Exception) -> dict[str, str]:
    """Return what a tenant may read of an error: our own words, and of anything else only type and place."""
    message = str(error) if isinstance(error, EXPECTED) else "unexpected error; see the worker's log"
    return {"type": type(error).__name__, "message": message, **place_of(error)}


def place_of(error: Exception) -> dict[str, str]:
    """Return the innermost function of a body that an error passed, if it passed one."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    names = [f"{frame.f_globals.get('__name__')}.{frame.f_code.co_name}" for frame in frames]
    places = [name for name in names if name.startswith(BODIES)]
    return {"place": places[-1]} if places else {}


def name(claim: Claim) -> dict[str, Any]:
    """Return what every log line of the attempt carries."""
    return {
        "organization": str(claim.organization_id),
        "job": str(claim.job_id),
        "kind": claim.kind,
        "attempt": claim.attempt,
        **origin_of(claim.job_id).log_fields(),
    }

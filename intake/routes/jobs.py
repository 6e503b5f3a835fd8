"""Jobs: submit, follow, cancel, retry."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import TypeAdapter

from intake.auth import AnyCaller, Caller, allowed
from intake.body import body_of
from intake.openapi import READ, READ_ONE, WRITE, problems
from intake.paging import Cursor, CursorParameter, Limit, Page
from intake.problem import NotFoundError
from intake.submission import BATCH, JOB, JobBatch, JobBody, KeyHeader
from intake.turn import refine
from intake.views.base import View
from intake.views.explanation import Explanation, explain_job
from intake.views.job import (
    EventView,
    JobSummary,
    JobView,
    find_job,
    list_events,
    list_jobs,
)
from models.job import JobState
from models.session import tenant_session
from models.user import Permission
from tasks.catalog import TENANT_CATALOG
from tasks.payloads import Text
from worker.submit import Submission, SubmittedJob, cancel, retry, submit

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

Viewer = Annotated[Caller, Depends(allowed(Permission.VIEW_JOBS))]
Manager = Annotated[Caller, Depends(allowed(Permission.MANAGE_JOBS))]
_job, _job_extra = body_of("JobSubmission", JOB)
_batch, _batch_extra = body_of("JobBatch", BATCH, items="jobs")
_places = Cursor(TypeAdapter(UUID))


class Accepted(View):
    """A recorded job. It will run, whatever happens to the queue."""

    id: UUID
    kind: str
    state: JobState
    created_at: datetime
    run_at: datetime | None
    replayed: bool
    """True when the idempotency key was known: this is the job it made."""


class AcceptedBatch(View):
    jobs: list[Accepted]
    """In the order of the request."""


class Changed(View):
    id: UUID
    state: JobState
    """Its state after the change. A running job that was cancelled is `running` until it has stopped."""


@router.post(
    "",
    status_code=202,
    response_model=Accepted,
    responses=WRITE | problems(409),
    openapi_extra=_job_extra,
    summary="Submit a job",
)
def submit_job(
    request: Request,
    caller: AnyCaller,
    body: Annotated[JobBody, _job],
    idempotency_key: KeyHeader = None,
) -> Response:
    _check_permissions(caller, [body])
    [job] = _submit(request, caller, [body.submission(idempotency_key)])
    return _accepted(job, headers={"Location": f"{router.prefix}/{job.id}"})


@router.post(
    "/batch",
    status_code=202,
    response_model=AcceptedBatch,
    responses=WRITE | problems(409),
    openapi_extra=_batch_extra,
    summary="Submit up to 1,000 jobs: all or none",
    description="With an `Idempotency-Key`, job n (from 0) has `<key>/n` unless it brings its own.",
)
def submit_batch(
    request: Request,
    caller: AnyCaller,
    batch: Annotated[JobBatch, _batch],
    idempotency_key: KeyHeader = None,
) -> Response:
    _check_permissions(caller, batch.jobs)
    keys = (
        body.idempotency_key or (idempotency_key and f"{idempotency_key}/{n}")
        for n, body in enumerate(batch.jobs)
    )
    submissions = [body.submission(key) for body, key in zip(batch.jobs, keys, strict=True)]
    return _accepted({"jobs": _submit(request, caller, submissions)})


def _check_permissions(caller: Caller, bodies: Sequence[JobBody]) -> None:
    for name in dict.fromkeys(body.kind for body in bodies):
        permission = TENANT_CATALOG[name].permission
        assert permission is not None
        caller.require(permission)


def _submit(request: Request, caller: Caller, submissions: Sequence[Submission]) -> list[SubmittedJob]:
    return submit(
        request.app.state.database,
        caller.tenant,
        submissions,
        publisher=request.app.state.publisher,
        requested_by=caller.user_uuid,
        request_id=request.state.request_id,
    )


def _accepted(content: Any, headers: dict[str, str] | None = None) -> Response:
    """Skip FastAPI's second validation: for a batch it costs more than recording it."""
    raw = orjson.dumps(content, option=orjson.OPT_UTC_Z)
    return Response(raw, status_code=202, media_type="application/json", headers=headers)


@router.get("", responses=READ, summary="List jobs, newest first")
def jobs(  # noqa: PLR0913 - one parameter per filter
    request: Request,
    caller: Viewer,
    *,
    state: JobState | None = None,
    kind: Annotated[Text | None, Query(json_schema_extra={"enum": sorted(TENANT_CATALOG)})] = None,
    cursor: CursorParameter = None,
    limit: Limit = 50,
) -> Page[JobSummary]:
    before = _places.read(cursor)
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        rows = list_jobs(session, state=state, kind=kind, before=before, limit=limit + 1)
    shown, following = _places.page(rows, limit, lambda row: row.id)
    return Page(items=[JobSummary.model_validate(row) for row in shown], next_cursor=following)


@router.get("/{job_id}", responses=READ_ONE, summary="One job")
def job(request: Request, caller: Viewer, job_id: UUID) -> JobView:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        row = find_job(session, job_id)
    if row is None:
        raise NotFoundError("job")
    return JobView.model_validate(row)


@router.get("/{job_id}/events", responses=READ_ONE, summary="What happened to a job, oldest first")
def job_events(request: Request, caller: Viewer, job_id: UUID) -> list[EventView]:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        events = list_events(session, job_id)
    if not events:  # a job is recorded together with its first event
        raise NotFoundError("job")
    return events


@router.get("/{job_id}/explain", responses=READ_ONE, summary="Why a job has not run yet")
def explain(request: Request, caller: Viewer, job_id: UUID) -> Explanation:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        explanation = explain_job(session, job_id)
    if explanation is None:
        raise NotFoundError("job")
    return refine(explanation, request.app.state.redis)


@router.post(
    "/{job_id}/cancel",
    responses=READ_ONE | problems(409),
    summary="Cancel a job: at once while it waits, at its next safe step while it runs",
)
def cancel_job(request: Request, caller: Manager, job_id: UUID) -> Changed:
    state = cancel(request.app.state.database, caller.tenant, job_id, publisher=request.app.state.publisher)
    return Changed(id=job_id, state=state)


@router.post(
    "/{job_id}/retry",
    status_code=202,
    responses=READ_ONE | problems(409),
    summary="Give a dead or cancelled job as many attempts again",
)
def retry_job(request: Request, caller: Manager, job_id: UUID) -> Changed:
    state = retry(request.app.state.database, caller.tenant, job_id, publisher=request.app.state.publisher)
    return Changed(id=job_id, state=state)

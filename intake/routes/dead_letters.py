"""Dead letters: list, group by error, read the story, requeue by filter with a preview."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StrictBool, StrictInt, TypeAdapter

from intake.auth import Caller, allowed
from intake.body import body_of
from intake.openapi import READ, READ_ONE, WRITE
from intake.paging import Cursor, CursorParameter, Limit, Page
from intake.problem import NotFoundError
from intake.views.base import View
from intake.views.dead_letter import (
    DeadLetterGroup,
    DeadLetterSummary,
    DeadLetterView,
    find_dead_letter,
    group_dead_letters,
    list_dead_letters,
)
from models.session import tenant_session
from models.user import Permission
from tasks.payloads import Text
from worker.dead_letter import DeadLetterFilter, count_dead, requeue_dead

router = APIRouter(prefix="/api/v1/dead-letters", tags=["jobs"])

MOST_AT_ONCE = 10_000

Viewer = Annotated[Caller, Depends(allowed(Permission.VIEW_JOBS))]
Manager = Annotated[Caller, Depends(allowed(Permission.MANAGE_JOBS))]


def _wanted(
    kind: Text | None = None,
    fingerprint: Text | None = None,
    since: Annotated[AwareDatetime | None, Query(description="Died at or after this moment.")] = None,
    until: Annotated[AwareDatetime | None, Query(description="Died before this moment.")] = None,
) -> DeadLetterFilter:
    return DeadLetterFilter(kind=kind, fingerprint=fingerprint, since=since, until=until)


Wanted = Annotated[DeadLetterFilter, Depends(_wanted)]
_places = Cursor(TypeAdapter(UUID))


class Selection(BaseModel):
    """Which dead letters; all of them without any field."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    kind: Text | None = None
    fingerprint: Text | None = None
    since: Annotated[AwareDatetime | None, Field(description="Died at or after this moment.")] = None
    until: Annotated[AwareDatetime | None, Field(description="Died before this moment.")] = None
    job_ids: Annotated[tuple[UUID, ...], Field(min_length=1, max_length=1_000)] | None = None


class RequeueBody(BaseModel):
    """Look first with `dry_run`, which is the default."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    filter: Selection = Selection()
    dry_run: StrictBool = True
    limit: Annotated[StrictInt, Field(ge=1, le=MOST_AT_ONCE)] = MOST_AT_ONCE
    """Requeue the oldest this many."""


class RequeueReport(View):
    """What a filter found and what became of it."""

    dry_run: bool
    matched: int
    """Dead letters that the filter found."""
    requeued: int
    refusal: str | None = None
    """Why it stopped before the end; what was requeued stays requeued."""


_requeue, _requeue_extra = body_of("DeadLetterRequeue", TypeAdapter(RequeueBody))


@router.get("", responses=READ, summary="List dead letters, newest job first")
def dead_letters(
    request: Request, caller: Viewer, wanted: Wanted, *, cursor: CursorParameter = None, limit: Limit = 50
) -> Page[DeadLetterSummary]:
    before = _places.read(cursor)
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        rows = list_dead_letters(session, wanted, before=before, limit=limit + 1)
    shown, following = _places.page(rows, limit, lambda row: row.job_id)
    return Page(items=[DeadLetterSummary.model_validate(row) for row in shown], next_cursor=following)


@router.get("/groups", responses=READ, summary="Count dead letters by kind and error")
def groups(request: Request, caller: Viewer, wanted: Wanted) -> list[DeadLetterGroup]:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        return [DeadLetterGroup.model_validate(row) for row in group_dead_letters(session, wanted)]


@router.post(
    "/requeue",
    responses=WRITE,
    openapi_extra=_requeue_extra,
    summary="Give dead jobs as many attempts again, or count them with `dry_run`",
    description="Each 500 jobs are one transaction: all of them are requeued, with their quota, or none.",
)
def requeue(request: Request, caller: Manager, body: Annotated[RequeueBody, _requeue]) -> RequeueReport:
    database, asked = request.app.state.database, body.filter
    wanted = DeadLetterFilter(asked.kind, asked.fingerprint, asked.since, asked.until, asked.job_ids)
    if body.dry_run:
        return RequeueReport(dry_run=True, matched=count_dead(database, caller.tenant, wanted), requeued=0)
    done = requeue_dead(
        database, caller.tenant, wanted, limit=body.limit, publisher=request.app.state.publisher
    )
    refusal = None if done.refusal is None else str(done.refusal)
    return RequeueReport(dry_run=False, matched=done.matched, requeued=done.requeued, refusal=refusal)


@router.get("/{job_id}", responses=READ_ONE, summary="One dead letter with the story of its attempts")
def dead_letter(request: Request, caller: Viewer, job_id: UUID) -> DeadLetterView:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        found = find_dead_letter(session, job_id)
    if found is None:
        raise NotFoundError("dead letter")
    return found

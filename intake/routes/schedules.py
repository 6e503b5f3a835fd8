"""Schedules: have a job recur; look ahead, look back, change, pause, run now, backfill."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import TypeAdapter

from intake.auth import AnyCaller, Caller, allowed
from intake.body import body_of
from intake.ingest.schedule import SCHEDULE, Backfill, ScheduleBody, ScheduleChange
from intake.openapi import READ_ONE, WRITE, problems
from intake.paging import Cursor, CursorParameter, Limit, Page
from intake.problem import NotFoundError
from intake.recurrence import OF_TENANT, ScheduleRules, backfilled, kind_of, permission_of, resumed
from intake.resource.declaration import Resource, equals
from intake.resource.etag import answer
from intake.resource.repository import Repository, open_repository
from intake.resource.router import TAG, TAGGED, routes_of
from intake.submission import KeyHeader
from intake.views.base import View
from intake.views.schedule import NextRun, RunView, ScheduleView, list_runs, next_runs
from models.schedule import RunState, RunTrigger, Schedule
from models.user import Permission
from worker.fire import FiredRun, fire_moments

SCHEDULES = Resource(
    name="schedule",
    path="/schedules",
    table=Schedule,
    view=ScheduleView,
    change=ScheduleChange,  # made by the route below: what a kind takes depends on the kind
    manage=None,
    read=Permission.VIEW_JOBS,
    only=(OF_TENANT,),
    filters={"kind": equals(Schedule.kind), "paused": equals(Schedule.paused, bool)},
    meter="schedules",
    rules=ScheduleRules(),
)

PATH = "/api/v1/schedules"

router = APIRouter(tags=["schedules"])

Viewer = Annotated[Caller, Depends(allowed(Permission.VIEW_JOBS))]

_schedule, _schedule_extra = body_of("ScheduleBody", SCHEDULE)
_backfill, _backfill_extra = body_of("Backfill", TypeAdapter(Backfill))
_moments = Cursor(TypeAdapter(datetime))


class Run(View):
    """A run and the job it got."""

    nominal_time: datetime
    job_id: UUID


class RunNow(Run):
    """A run that was asked for."""

    replayed: bool
    """True when the idempotency key was known: this is the run it made."""


class Backfilled(View):
    runs: list[Run]
    already_fired: int
    """Moments in the range that had a job before."""


@router.post(
    PATH,
    status_code=201,
    response_model=ScheduleView,
    responses=WRITE | {201: TAG},
    openapi_extra=_schedule_extra,
    summary="Have a job recur by cron or interval",
)
def create(request: Request, caller: AnyCaller, body: Annotated[ScheduleBody, _schedule]) -> Response:
    caller.require(permission_of(body.kind))
    with open_repository(request, caller, SCHEDULES) as repository:
        made: Any = repository.create(body)
    return answer(made, status=201, headers={"Location": f"{PATH}/{made.id}"})


@router.get(PATH + "/{item_id}/next", responses=READ_ONE, summary="The next runs")
def upcoming(
    request: Request,
    caller: Viewer,
    item_id: UUID,
    count: Annotated[int, Query(ge=1, le=100)] = 5,
) -> list[NextRun]:
    with open_repository(request, caller, SCHEDULES) as repository:
        return next_runs(_found(repository, item_id), count)


@router.get(
    PATH + "/{item_id}/runs", responses=READ_ONE, summary="What became of each moment, the latest first"
)
def runs(  # noqa: PLR0913 - one parameter per filter
    request: Request,
    caller: Viewer,
    item_id: UUID,
    *,
    state: RunState | None = None,
    cursor: CursorParameter = None,
    limit: Limit = 50,
) -> Page[RunView]:
    before = _moments.read(cursor)
    with open_repository(request, caller, SCHEDULES) as repository:
        repository.find(item_id)
        rows = list_runs(repository.session, item_id, state=state, before=before, limit=limit + 1)
    shown, following = _moments.page(rows, limit, lambda row: row.nominal_time)
    return Page(items=[RunView.model_validate(row) for row in shown], next_cursor=following)


@router.post(
    PATH + "/{item_id}/pause",
    response_model=ScheduleView,
    responses=READ_ONE | TAGGED,
    summary="Let it rest; what comes due meanwhile never runs",
)
def pause(request: Request, caller: AnyCaller, item_id: UUID) -> Response:
    with _taken(request, caller, item_id) as (repository, row):
        return answer(row if row.paused else repository.write(item_id, {"paused": True}))


@router.post(
    PATH + "/{item_id}/resume",
    response_model=ScheduleView,
    responses=READ_ONE | TAGGED,
    summary="Go on with the next run from now",
)
def resume(request: Request, caller: AnyCaller, item_id: UUID) -> Response:
    with _taken(request, caller, item_id) as (repository, row):
        return answer(repository.write(item_id, resumed(row)) if row.paused else row)


@router.post(
    PATH + "/{item_id}/run",
    status_code=202,
    responses=READ_ONE | problems(409),
    summary="Run it now, paused or not, whatever its overlap policy",
)
def run_now(request: Request, caller: AnyCaller, item_id: UUID, idempotency_key: KeyHeader = None) -> RunNow:
    found = _to_fire(request, caller, item_id)
    now = [datetime.now(UTC)]
    fired = _fire(request, caller, found, now, trigger=RunTrigger.MANUAL, idempotency_key=idempotency_key)
    if not fired:  # deleted since it was read
        raise NotFoundError("schedule")
    return RunNow.model_validate(fired[0])


@router.post(
    PATH + "/{item_id}/backfill",
    status_code=202,
    responses=WRITE | problems(404, 409),
    openapi_extra=_backfill_extra,
    summary="Run up to 100 past moments that have no job",
    description="Asked again, it runs nothing twice: a moment that has its job counts as `already_fired`.",
)
def backfill(
    request: Request, caller: AnyCaller, item_id: UUID, body: Annotated[Backfill, _backfill]
) -> Backfilled:
    found = _to_fire(request, caller, item_id)
    moments = backfilled(found, body)
    fired = _fire(request, caller, found, moments, trigger=RunTrigger.BACKFILL)
    return Backfilled(
        runs=[Run.model_validate(run) for run in fired], already_fired=len(moments) - len(fired)
    )


router.include_router(routes_of(SCHEDULES))


@contextmanager
def _taken(request: Request, caller: Caller, item_id: UUID) -> Iterator[tuple[Repository, Any]]:
    """Hold the schedule for a change: no beat fires it before the transaction ends."""
    with open_repository(request, caller, SCHEDULES) as repository:
        repository.take_turn([item_id])
        yield repository, repository.hold(item_id)


def _found(repository: Repository, item_id: UUID) -> Schedule:
    row: Any = repository.find(item_id)
    found: Schedule = row.schedule()
    return found


def _to_fire(request: Request, caller: Caller, item_id: UUID) -> Schedule:
    with open_repository(request, caller, SCHEDULES) as repository:
        found = _found(repository, item_id)
    caller.require(permission_of(found.kind))
    return found


def _fire(  # noqa: PLR0913 - who asks is apart from what is asked
    request: Request,
    caller: Caller,
    found: Schedule,
    moments: list[datetime],
    *,
    trigger: RunTrigger,
    idempotency_key: str | None = None,
) -> list[FiredRun]:
    return fire_moments(
        request.app.state.database,
        caller.tenant,
        found,
        kind_of(found.kind),
        moments,
        trigger=trigger,
        publisher=request.app.state.publisher,
        requested_by=caller.user_uuid,
        idempotency_key=idempotency_key,
    )

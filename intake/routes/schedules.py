"""Schedules: have a job recur; look ahead, look back, change, pause, run now, backfill."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import TypeAdapter
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from intake.allowance import make_room
from intake.auth import AnyCaller, Caller, allowed
from intake.body import body_of
from intake.openapi import READ, READ_ONE, WRITE, problems
from intake.paging import Cursor, CursorParameter, Limit, Page
from intake.problem import NotFoundError
from intake.recurrence import (
    SCHEDULE,
    Backfill,
    ScheduleBody,
    ScheduleChange,
    backfilled,
    change_schedule,
    kind_of,
    new_schedule,
    next_from,
    permission_of,
)
from intake.submission import KeyHeader
from intake.views.base import View
from intake.views.schedule import (
    NextRun,
    RunView,
    ScheduleView,
    list_runs,
    list_schedules,
    next_runs,
    show,
)
from models.schedule import RunState, RunTrigger, Schedule
from models.session import tenant_session
from models.user import Permission
from tasks.catalog import TENANT_CATALOG
from worker.fire import FiredRun, fire_moments, timing_of

router = APIRouter(prefix="/api/v1/schedules", tags=["schedules"])

Viewer = Annotated[Caller, Depends(allowed(Permission.VIEW_JOBS))]

_schedule, _schedule_extra = body_of("ScheduleBody", SCHEDULE)
_change, _change_extra = body_of("ScheduleChange", TypeAdapter(ScheduleChange))
_backfill, _backfill_extra = body_of("Backfill", TypeAdapter(Backfill))
_places = Cursor(TypeAdapter(UUID))
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
    "",
    status_code=201,
    responses=WRITE,
    openapi_extra=_schedule_extra,
    summary="Have a job recur by cron or interval",
)
def create(
    request: Request, response: Response, caller: AnyCaller, body: Annotated[ScheduleBody, _schedule]
) -> ScheduleView:
    permission = TENANT_CATALOG[body.kind].permission
    assert permission is not None
    caller.require(permission)
    schedule = new_schedule(caller, body)
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        make_room(session, caller, "schedules")
        session.add(schedule)
        session.flush()
        session.refresh(schedule)
    response.headers["Location"] = f"{router.prefix}/{schedule.id}"
    return show(schedule)


@router.get("", responses=READ, summary="List schedules, newest first")
def schedules(
    request: Request, caller: Viewer, *, cursor: CursorParameter = None, limit: Limit = 50
) -> Page[ScheduleView]:
    before = _places.read(cursor)
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        rows = list_schedules(session, before=before, limit=limit + 1)
    shown, following = _places.page(rows, limit, lambda row: row.id)
    return Page(items=[show(row) for row in shown], next_cursor=following)


@router.get("/{schedule_id}", responses=READ_ONE, summary="One schedule, with its next five runs")
def schedule(request: Request, caller: Viewer, schedule_id: UUID) -> ScheduleView:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        return show(_find(session, schedule_id))


@router.get("/{schedule_id}/next", responses=READ_ONE, summary="The next runs")
def upcoming(
    request: Request,
    caller: Viewer,
    schedule_id: UUID,
    count: Annotated[int, Query(ge=1, le=100)] = 5,
) -> list[NextRun]:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        return next_runs(_find(session, schedule_id), count)


@router.get("/{schedule_id}/runs", responses=READ_ONE, summary="What became of each moment, the latest first")
def runs(  # noqa: PLR0913 - one parameter per filter
    request: Request,
    caller: Viewer,
    schedule_id: UUID,
    *,
    state: RunState | None = None,
    cursor: CursorParameter = None,
    limit: Limit = 50,
) -> Page[RunView]:
    before = _moments.read(cursor)
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        _find(session, schedule_id)
        rows = list_runs(session, schedule_id, state=state, before=before, limit=limit + 1)
    shown, following = _moments.page(rows, limit, lambda row: row.nominal_time)
    return Page(items=[RunView.model_validate(row) for row in shown], next_cursor=following)


@router.patch(
    "/{schedule_id}",
    responses=WRITE | problems(404, 409),
    openapi_extra=_change_extra,
    summary="Change a schedule",
)
def change(
    request: Request, caller: AnyCaller, schedule_id: UUID, body: Annotated[ScheduleChange, _change]
) -> ScheduleView:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        found = _take(session, caller, schedule_id)
        change_schedule(found, caller.tenant, body)
        return _shown_anew(session, found)


@router.post(
    "/{schedule_id}/pause", responses=READ_ONE, summary="Let it rest; what comes due meanwhile never runs"
)
def pause(request: Request, caller: AnyCaller, schedule_id: UUID) -> ScheduleView:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        found = _take(session, caller, schedule_id)
        found.paused = True
        return _shown_anew(session, found)


@router.post("/{schedule_id}/resume", responses=READ_ONE, summary="Go on with the next run from now")
def resume(request: Request, caller: AnyCaller, schedule_id: UUID) -> ScheduleView:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        found = _take(session, caller, schedule_id)
        if found.paused:
            found.next_nominal = next_from(timing_of(found), datetime.now(UTC))
            found.paused = False
            found.revision += 1
        return _shown_anew(session, found)


@router.post(
    "/{schedule_id}/run",
    status_code=202,
    responses=READ_ONE | problems(409),
    summary="Run it now, paused or not, whatever its overlap policy",
)
def run_now(
    request: Request, caller: AnyCaller, schedule_id: UUID, idempotency_key: KeyHeader = None
) -> RunNow:
    found = _read(request, caller, schedule_id)
    now = [datetime.now(UTC)]
    fired = _fire(request, caller, found, now, trigger=RunTrigger.MANUAL, idempotency_key=idempotency_key)
    if not fired:  # deleted since it was read
        raise NotFoundError("schedule")
    return RunNow.model_validate(fired[0])


@router.post(
    "/{schedule_id}/backfill",
    status_code=202,
    responses=WRITE | problems(404, 409),
    openapi_extra=_backfill_extra,
    summary="Run up to 100 past moments that have no job",
    description="Asked again, it runs nothing twice: a moment that has its job counts as `already_fired`.",
)
def backfill(
    request: Request, caller: AnyCaller, schedule_id: UUID, body: Annotated[Backfill, _backfill]
) -> Backfilled:
    found = _read(request, caller, schedule_id)
    moments = backfilled(found, body)
    fired = _fire(request, caller, found, moments, trigger=RunTrigger.BACKFILL)
    return Backfilled(
        runs=[Run.model_validate(run) for run in fired], already_fired=len(moments) - len(fired)
    )


@router.delete(
    "/{schedule_id}", status_code=204, responses=READ_ONE, summary="Delete a schedule; its jobs stay"
)
def delete(request: Request, caller: AnyCaller, schedule_id: UUID) -> None:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        found = _take(session, caller, schedule_id)
        found.deleted_at = datetime.now(UTC)
        found.next_nominal = found.buffered_nominal = None


def _find(session: Session, schedule_id: UUID, *, lock: bool = False) -> Schedule:
    query = select(Schedule).where(Schedule.id == schedule_id, Schedule.platform.is_(None))
    found = session.scalars(query.with_for_update() if lock else query).one_or_none()
    if found is None:
        raise NotFoundError("schedule")
    return found


def _take(session: Session, caller: Caller, schedule_id: UUID) -> Schedule:
    """Return the schedule for a change: no beat fires it before the transaction ends."""
    found = _find(session, schedule_id, lock=True)
    caller.require(permission_of(found))
    return found


def _read(request: Request, caller: Caller, schedule_id: UUID) -> Schedule:
    with tenant_session(request.app.state.database, caller.tenant.organization_id) as session:
        found = _find(session, schedule_id)
    caller.require(permission_of(found))
    return found


def _shown_anew(session: Session, found: Schedule) -> ScheduleView:
    found.updated_at = session.scalars(select(func.now())).one()
    session.flush()
    return show(found)


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
        kind_of(found),
        moments,
        trigger=trigger,
        publisher=request.app.state.publisher,
        requested_by=caller.user_uuid,
        idempotency_key=idempotency_key,
    )

"""What a tenant sees of its schedules and their runs."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import chain, islice
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, computed_field
from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from intake.views.base import View
from models.schedule import Overlap, RunReason, RunState, RunTrigger, Schedule, ScheduleRun
from worker.fire import timing_of
from worker.schedule import jittered

RUNS_SHOWN = 5


class NextRun(View):
    """A run to come."""

    nominal_time: datetime
    starts_at: datetime
    """With the jitter."""


class ScheduleView(View):
    """A schedule and its next runs."""

    id: UUID
    name: str
    kind: str
    payload: dict[str, Any]
    priority: int
    cron: str | None
    interval_seconds: int | None
    time_zone: str
    starts_at: datetime
    ends_at: datetime | None
    jitter_seconds: int
    overlap: Overlap
    catch_up_seconds: int
    paused: bool
    buffered_nominal: datetime | None
    """The run that waits for the one before to end."""
    next_nominal: Annotated[datetime | None, Field(exclude=True)]
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None

    def schedule(self) -> Schedule:
        """Return it as the engine knows it."""
        return Schedule(**dict(self))

    @computed_field  # type: ignore[prop-decorator] # mypy: properties under decorators
    @property
    def next_runs(self) -> list[NextRun]:
        """The next five; none while it is paused or after its end."""
        return next_runs(self.schedule(), RUNS_SHOWN)


class RunView(View):
    """What became of one moment of a schedule."""

    nominal_time: datetime
    state: RunState
    trigger: RunTrigger
    reason: RunReason | None
    """Why it has no job."""
    detail: str | None
    job_id: UUID | None
    recorded_at: datetime


_RUN = [getattr(ScheduleRun, name) for name in RunView.model_fields]


def next_runs(schedule: Schedule, count: int) -> list[NextRun]:
    """Return the next *count* runs, or fewer when it ends before; none while it is paused."""
    following = schedule.next_nominal
    if schedule.paused or following is None:
        return []
    jitter = timedelta(seconds=schedule.jitter_seconds)
    moments = islice(chain([following], timing_of(schedule).after(following)), count)
    return [
        NextRun(nominal_time=moment, starts_at=jittered(schedule.id, moment, jitter) or moment)
        for moment in moments
    ]


def list_runs(
    session: Session, schedule_id: UUID, *, state: RunState | None, before: datetime | None, limit: int
) -> Sequence[Row[Any]]:
    """Return runs, the latest moment first."""
    query = select(*_RUN).where(ScheduleRun.schedule_id == schedule_id)
    if state is not None:
        query = query.where(ScheduleRun.state == state)
    if before is not None:
        query = query.where(ScheduleRun.nominal_time < before)
    return session.execute(query.order_by(ScheduleRun.nominal_time.desc()).limit(limit)).all()

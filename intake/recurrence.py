"""The rules that a schedule keeps."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from pydantic_core import to_json
from sqlalchemy import select, update

from intake.ingest.schedule import Backfill
from intake.problem import ConflictError, FieldError, ForbiddenError, InvalidRequestError
from intake.resource.declaration import Rules, Values
from intake.resource.repository import Repository
from intake.validation import refuse
from intake.views.schedule import ScheduleView
from models.organization import Tenant
from models.schedule import RunState, Schedule, ScheduleRun
from models.user import Permission
from tasks.catalog import TENANT_CATALOG
from worker.fire import timing_of
from worker.job import JobKind
from worker.refusal import FeatureNotInPlanError
from worker.schedule import Timing, TimingError

MOST_BACKFILLED = 100
"""Runs of one backfill."""

TIMING = frozenset({"cron", "interval_seconds", "time_zone", "starts_at", "ends_at"})
"""Fields whose change moves the next run."""

OF_TENANT = Schedule.platform.is_(None)
"""The platform's own are neither seen nor touched."""


class ScheduleRules(Rules):
    """What a schedule keeps beside its schema: the kind's terms, the plan's, and a next run."""

    def before(self, repository: Repository, item_ids: Sequence[UUID]) -> None:
        """Ask for the permission of each one's kind, which never changes."""
        query = select(Schedule.kind).where(Schedule.id.in_(item_ids), OF_TENANT)
        for kind in repository.session.scalars(query.execution_options(include_deleted=True)):
            repository.caller.require(permission_of(kind))

    def made(self, repository: Repository, values: Values) -> Values:
        caller, now = repository.caller, datetime.now(UTC)
        values = _filled(values, caller.tenant, now)
        schedule = Schedule(**values)
        keep_rules(schedule, caller.tenant)
        following = next_from(timing_of(schedule), now)
        return values | {"created_by": caller.user_uuid, "next_nominal": following}

    def changed(self, repository: Repository, row: ScheduleView, values: Values) -> Values:
        """Move the next run if it is about time; what a beat computed before is not fired any more."""
        tenant, now = repository.caller.tenant, datetime.now(UTC)
        values = _filled(values, tenant, now)
        if "payload" in values:
            values["payload"] = payload_of(row.kind, values["payload"])
        schedule = Schedule(**dict(row) | values)
        keep_rules(schedule, tenant)
        if TIMING & values.keys():
            values["next_nominal"] = next_from(timing_of(schedule), now)
        return values | {"revision": Schedule.revision + 1}

    def removed(self, repository: Repository, row: ScheduleView) -> Values:
        """Let no moment be due, nor wait for the one before."""
        waits = ScheduleRun.schedule_id == row.id, ScheduleRun.nominal_time == row.buffered_nominal
        repository.session.execute(update(ScheduleRun).where(*waits).values(state=RunState.SKIPPED))
        return {"next_nominal": None, "buffered_nominal": None}

    def restored(self, repository: Repository, row: ScheduleView) -> Values:
        """Go on from now, if it has runs left: what came due while it was away is not a run."""
        schedule = row.schedule()
        keep_rules(schedule, repository.caller.tenant)
        following = timing_of(schedule).next_after(datetime.now(UTC))
        return {"next_nominal": following, "revision": Schedule.revision + 1}


def resumed(row: ScheduleView) -> Values:
    """Return the columns to change of a schedule that goes on with its next run from now."""
    following = next_from(timing_of(row.schedule()), datetime.now(UTC))
    return {"paused": False, "next_nominal": following, "revision": Schedule.revision + 1}


def _filled(values: Values, tenant: Tenant, now: datetime) -> Values:
    """Return *values* with what null stands for; of cron and interval, one replaces the other."""
    nulls = {"time_zone": tenant.time_zone, "starts_at": now}
    values = values | {name: value for name, value in nulls.items() if values.get(name, value) is None}
    for given, other in (("cron", "interval_seconds"), ("interval_seconds", "cron")):
        if values.get(given) is not None:
            values[other] = None
    return values


def kind_of(name: str) -> JobKind[Any]:
    """Return the kind of a schedule.

    Raises:
        ConflictError: A later version of the system has no such kind any more.
    """
    kind = TENANT_CATALOG.get(name)
    if kind is None:
        raise ConflictError("kind-gone", f"There is no kind {name} any more; delete the schedule.")
    return kind


def payload_of(kind: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the payload as recorded, validated by the kind's model."""
    model = kind_of(kind).payload
    try:
        return dict(model.model_validate_json(to_json(payload), strict=True).model_dump(mode="json"))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise refuse([{**one, "loc": ("payload", *one["loc"])} for one in found]) from None


def keep_rules(schedule: Schedule, tenant: Tenant) -> None:
    """Refuse a schedule that cannot be, or that the plan does not allow.

    Raises:
        InvalidRequestError: A field is wrong; it is named.
        ForbiddenError: The plan allows no schedule that runs so often.
        FeatureNotInPlanError: The plan lacks what the kind needs.
    """
    feature = kind_of(schedule.kind).feature
    if feature and not tenant.terms.offers(feature):
        raise FeatureNotInPlanError(feature, tenant.plan)
    timing = timing_of(schedule)
    try:
        timing.check()
    except TimingError as error:
        raise _refusal(error.field, str(error)) from None
    gap, shortest = timing.shortest_gap(), tenant.terms.shortest_schedule
    if gap < shortest:
        raise too_frequent(gap, shortest)
    if timedelta(seconds=schedule.jitter_seconds) >= gap:
        raise _refusal("jitter_seconds", f"must be less than the time between two runs, {_seconds(gap)} s")


def next_from(timing: Timing, now: datetime) -> datetime:
    """Return the next run; refuse a schedule that has none left."""
    following = timing.next_after(now)
    if following is None:
        raise _refusal("ends_at", "leaves no run from now on; choose a later one, or null")
    return following


def too_frequent(gap: timedelta, shortest: timedelta) -> ForbiddenError:
    """Refuse what runs more often than the plan allows."""
    return ForbiddenError(
        "schedule-too-frequent",
        f"Your plan runs a schedule every {_seconds(shortest)} seconds at most, and this one would run after "
        f"{_seconds(gap)}. Make it run less often, or upgrade the plan.",
        shortest_seconds=_seconds(shortest),
        seconds=_seconds(gap),
    )


def backfilled(schedule: Schedule, body: Backfill) -> list[datetime]:
    """Return the moments of a backfill."""
    now = datetime.now(UTC)
    until = min(body.until or now, now)
    moments: list[datetime] = []
    for moment in timing_of(schedule).after(body.since - timedelta(microseconds=1)):
        if moment >= until:
            break
        if len(moments) == MOST_BACKFILLED:
            advice = f"choose {moment.isoformat()} or earlier, and go on from there"
            raise _refusal("until", f"covers more than {MOST_BACKFILLED} runs; {advice}")
        moments.append(moment)
    if not moments:
        raise _refusal("since", "no run falls between since and until; widen the range")
    return moments


def permission_of(name: str) -> str:
    """Return what a caller needs to touch a schedule of a kind: what it needs to submit one."""
    kind = TENANT_CATALOG.get(name)
    return kind.permission if kind and kind.permission else Permission.MANAGE_JOBS


def _refusal(field: str, message: str) -> InvalidRequestError:
    return InvalidRequestError([FieldError(field=field, message=message)])


def _seconds(span: timedelta) -> int:
    return int(span.total_seconds())

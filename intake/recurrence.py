"""What a tenant posts to have a job recur, and the rules that a schedule keeps."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self

import orjson
from pydantic import Field, JsonValue, StrictBool, StrictInt, TypeAdapter, ValidationError, model_validator

from intake.auth import Caller
from intake.ingest.fields import Body, Day, Moment, Short
from intake.problem import ConflictError, FieldError, ForbiddenError, InvalidRequestError
from intake.submission import any_kind
from intake.validation import refuse
from models.organization import Tenant
from models.schedule import Overlap, Schedule
from models.user import Permission
from tasks.catalog import TENANT_CATALOG
from worker.fire import timing_of
from worker.job import JobKind
from worker.refusal import FeatureNotInPlanError
from worker.schedule import LONGEST_CRON, Timing, TimingError

MOST_BACKFILLED = 100
"""Runs of one backfill."""

MINUTE, DAY = 60, 24 * 3600
TIMING = frozenset({"cron", "interval_seconds", "time_zone", "starts_at", "ends_at"})
"""Fields whose change moves the next run."""


class ScheduleChange(Body):
    """What to change; a field that is left out stays. A new cron replaces an interval, and the other way."""

    name: Short = ""
    payload: Annotated[
        dict[str, JsonValue], Field(description="The whole payload, as the schedule's kind takes it.")
    ] = {}  # noqa: RUF012 - pydantic copies defaults
    priority: Annotated[StrictInt, Field(ge=-10, le=10)] = 0
    cron: Annotated[
        str | None,
        Field(max_length=LONGEST_CRON, description="Minute hour day month weekday, as in `0 9 * * MON-FRI`."),
    ] = None
    interval_seconds: Annotated[
        Annotated[StrictInt, Field(ge=MINUTE, le=366 * DAY)] | None,
        Field(description="Elapsed time between two runs, counted from `starts_at`."),
    ] = None
    time_zone: Annotated[
        str | None, Field(max_length=100, description="Whose clock cron follows; null: the organization's.")
    ] = None
    starts_at: Annotated[Day | None, Field(description="No run before it; null: now.")] = None
    ends_at: Annotated[Day | None, Field(description="No run after it; null: never ends.")] = None
    jitter_seconds: Annotated[
        StrictInt, Field(ge=0, le=DAY, description="A run starts up to so much after its moment, by chance.")
    ] = 0
    overlap: Annotated[
        Overlap, Field(description="What becomes of a run while the one before has not ended.")
    ] = Overlap.SKIP
    catch_up_seconds: Annotated[
        StrictInt,
        Field(ge=MINUTE, le=7 * DAY, description="A run that could not start within it counts as missed."),
    ] = 3600

    @model_validator(mode="after")
    def one_timing(self) -> Self:
        """Refuse cron and interval at once."""
        if self.cron is not None and self.interval_seconds is not None:
            raise ValueError("give either cron or interval_seconds, and not both")
        return self

    def values(self, tenant: Tenant, now: datetime) -> dict[str, Any]:
        """Return what was given, by column."""
        values = self.model_dump(exclude_unset=True, exclude={"payload"})
        for name, otherwise in (("time_zone", tenant.time_zone), ("starts_at", now)):
            if name in values and values[name] is None:
                values[name] = otherwise
        if self.cron is not None:
            values["interval_seconds"] = None
        if self.interval_seconds is not None:
            values["cron"] = None
        return values


class ScheduleBody(ScheduleChange):
    """A new schedule."""

    name: Short
    kind: str
    payload: Any
    paused: StrictBool = False


class Backfill(Body):
    """Run the moments from `since` on and before `until` that have no job, whatever became of them."""

    since: Moment
    until: Annotated[Moment | None, Field(description="By default, now.")] = None


SCHEDULE: TypeAdapter[ScheduleBody] = TypeAdapter(any_kind(ScheduleBody, "Schedule"))


def new_schedule(caller: Caller, body: ScheduleBody) -> Schedule:
    """Return the schedule that *body* describes."""
    tenant, now = caller.tenant, datetime.now(UTC)
    defaults: dict[str, Any] = {
        name: getattr(body, name) for name in ("overlap", "jitter_seconds", "catch_up_seconds", "priority")
    }
    schedule = Schedule(
        organization_id=tenant.organization_id,
        created_by=caller.user_uuid,
        payload=body.payload.model_dump(mode="json"),
        **(defaults | {"time_zone": tenant.time_zone, "starts_at": now} | body.values(tenant, now)),
    )
    keep_rules(schedule, tenant)
    schedule.next_nominal = next_from(timing_of(schedule), now)
    return schedule


def change_schedule(schedule: Schedule, tenant: Tenant, change: ScheduleChange) -> None:
    """Apply *change*; what a beat computed from the schedule as it was is not fired any more."""
    now = datetime.now(UTC)
    values = change.values(tenant, now)
    for name, value in values.items():
        setattr(schedule, name, value)
    if "payload" in change.model_fields_set:
        schedule.payload = payload_of(schedule, change.payload)
    keep_rules(schedule, tenant)
    if TIMING & values.keys():
        schedule.next_nominal = next_from(timing_of(schedule), now)
    schedule.revision += 1


def kind_of(schedule: Schedule) -> JobKind[Any]:
    """Return the schedule's kind.

    Raises:
        ConflictError: A later version of the system has no such kind any more.
    """
    kind = TENANT_CATALOG.get(schedule.kind)
    if kind is None:
        raise ConflictError("kind-gone", f"There is no kind {schedule.kind} any more; delete the schedule.")
    return kind


def payload_of(schedule: Schedule, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the payload as recorded, validated by the kind's model."""
    model = kind_of(schedule).payload
    try:
        return dict(model.model_validate_json(orjson.dumps(payload), strict=True).model_dump(mode="json"))
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
    feature = kind_of(schedule).feature
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


def permission_of(schedule: Schedule) -> str:
    """Return what a caller needs to touch a schedule: what it needs to submit the kind."""
    kind = TENANT_CATALOG.get(schedule.kind)
    return kind.permission if kind and kind.permission else Permission.MANAGE_JOBS


def _refusal(field: str, message: str) -> InvalidRequestError:
    return InvalidRequestError([FieldError(field=field, message=message)])


def _seconds(span: timedelta) -> int:
    return int(span.total_seconds())

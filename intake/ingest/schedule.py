"""What a tenant sends to have a job recur."""

from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    Field,
    JsonValue,
    StrictBool,
    StrictInt,
    TypeAdapter,
    field_serializer,
    model_validator,
)

from intake.ingest.fields import Body, Day, Moment, Short
from intake.submission import any_kind
from models.schedule import Overlap
from worker.schedule import LONGEST_CRON

MINUTE, DAY = 60, 24 * 3600
"""Seconds."""


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


class ScheduleBody(ScheduleChange):
    """A new schedule."""

    name: Short
    kind: str
    payload: Any
    paused: StrictBool = False

    @field_serializer("payload")
    def as_recorded(self, payload: BaseModel) -> dict[str, Any]:
        """Return it as JSON has it."""
        return payload.model_dump(mode="json")


class Backfill(Body):
    """Run the moments from `since` on and before `until` that have no job, whatever became of them."""

    since: Moment
    until: Annotated[Moment | None, Field(description="By default, now.")] = None


SCHEDULE: TypeAdapter[ScheduleBody] = TypeAdapter(any_kind(ScheduleBody, "Schedule"))

"""What a tenant sends with each kind of job.

The intake validates these in strict JSON mode; a worker reads the recorded JSON back with ``model_validate``.
"""

from datetime import date
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    model_validator,
)

LEADS_PER_JOB = 5_000
"""One job scores so many leads at most; more leads are more jobs, which the fair share can interleave."""

MEDIA_PER_POST = 10
LONGEST_POST = 63_206
"""Characters: the longest text any platform takes (Facebook). The platform's own limit is checked later."""

PeriodMeter = Literal["posts_month", "leads_scored_month", "jobs_month", "worker_seconds_month"]
"""A meter that starts again with each billing period."""


def storable(text: str) -> str:
    """Refuse what Postgres cannot store."""
    if "\x00" in text:
        raise ValueError("must not contain the NUL character")
    return text


Text = Annotated[str, AfterValidator(storable)]


class Payload(BaseModel):
    """Base of every payload: unknown fields are refused, and errors do not repeat the input."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Nothing(Payload):
    """A kind that needs no input."""


class Media(Payload):
    """One picture or film of the organization's library that goes with a post."""

    asset_id: UUID
    alt_text: Annotated[
        Annotated[Text, Field(max_length=2_000)] | None,
        Field(description="For who cannot see it; without, what the library says."),
    ] = None


class PublishPost(Payload):
    """Publish a post that exists (`post_id`), or one written here (`account_id` and `text`).

    A post written here is stored under the id of its job, so that a second attempt finds it.
    To publish later, give the job a `run_at`.
    """

    post_id: UUID | None = None
    account_id: UUID | None = None
    text: Annotated[Text, Field(min_length=1, max_length=LONGEST_POST)] | None = None
    media: Annotated[tuple[Media, ...], Field(max_length=MEDIA_PER_POST)] = ()

    @model_validator(mode="after")
    def one_source(self) -> Self:
        """Refuse both sources at once, and half of one."""
        written = self.account_id is not None or self.text is not None or bool(self.media)
        if self.post_id is not None and written:
            raise ValueError("give either post_id, or account_id and text; not both")
        if self.post_id is None and (self.account_id is None or self.text is None):
            raise ValueError("give post_id of a stored post, or account_id and text of a new one")
        return self


class FetchMetrics(Payload):
    """Ask the platform what it counts of a published post, and keep that with the post."""

    post_id: UUID
    round: Annotated[StrictInt, Field(ge=0, le=2)] = 2
    """Which of the fetches after publishing this is; the last asks for no further one."""


class DeletePost(Payload):
    """Take a published post back from its platform."""

    post_id: UUID
    erase: StrictBool = False
    """Also forget what it said."""


class ScoreLeads(Payload):
    """Score one batch of leads, chosen in one of four ways.

    `lead_ids` names them. `changed` takes those that changed or did something since they were scored. `all`
    takes those scored longest ago (never scored ones first). `until` takes those with ids after `after` up to
    this one. `limit` bounds how many `changed` and `all` take, and says how many `until` stands for;
    `leads.rescore` makes as many batches as it takes.
    """

    lead_ids: Annotated[tuple[UUID, ...], Field(min_length=1, max_length=LEADS_PER_JOB)] | None = None
    changed: StrictBool = False
    all: StrictBool = False
    after: UUID | None = None
    until: UUID | None = None
    limit: Annotated[StrictInt, Field(ge=1, le=LEADS_PER_JOB)] = LEADS_PER_JOB

    @model_validator(mode="after")
    def one_choice(self) -> Self:
        """Refuse none and more than one of the ways to choose leads."""
        if [self.lead_ids is not None, self.changed, self.all, self.until is not None].count(True) != 1:
            raise ValueError("give one of lead_ids, changed: true, all: true, or until")
        if self.after is not None and self.until is None:
            raise ValueError("after goes with until")
        return self

    @property
    def most(self) -> int:
        """How many leads it scores at most: what it reserves. The body reports how many it did."""
        return self.limit if self.lead_ids is None else len(set(self.lead_ids))


class TrainModel(Payload):
    """Train the organization's own predictive model on its converted and lost leads."""


class Rollup(Payload):
    """Bring the organization's rollups up to date, with events received before `until` (default: all)."""

    until: AwareDatetime | None = None


class AnalyticsQuery(Payload):
    """Ask for one metric of a range of days, by period; if wanted broken down, and beside the range before.

    Weeks (from Monday) and months are whole ones: those that hold `first` and `last`.
    """

    metric: Literal["events", "value", "visitors"] = "events"
    grain: Literal["15m", "day", "week", "month"] = "day"
    first: date
    last: date
    """Inclusive, in the organization's zone."""
    breakdown: Literal["name", "campaign", "channel", "post"] | None = None
    name: Annotated[Text, Field(min_length=1, max_length=200)] | None = None
    """Only events of this name."""
    compare: bool = False
    """Also as many periods before `first`."""
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    """Members of the breakdown, those with the most."""

    @model_validator(mode="after")
    def in_order(self) -> Self:
        """Refuse a range that ends before it begins."""
        if self.first > self.last:
            raise ValueError("first must not be after last")
        return self


class PrivacyJob(Payload):
    """Do what a request for an export or erasure asks; whom it is about stands encrypted with the request."""

    request_id: UUID


class AccountQuota(Payload):
    """Compare the ledger with what a period says was used, and mend the difference."""

    meter: PeriodMeter | None = None
    """None is every meter."""
    period: date | None = None
    """A day within the period; None is the current one."""

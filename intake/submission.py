"""What a tenant posts to have jobs done: one model per kind, told apart by `kind`."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self, Union
from uuid import UUID

from fastapi import Header
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    TypeAdapter,
    create_model,
    model_validator,
)

from tasks.catalog import TENANT_CATALOG
from worker.job import JobKind
from worker.submit import Submission

LARGEST_BATCH = 1_000
FURTHEST_RUN = timedelta(days=366)
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,200}")
"""Printable ASCII without spaces, so that it means the same in a header and in a body."""


def _not_too_far(moment: datetime) -> datetime:
    if moment - datetime.now(moment.tzinfo) > FURTHEST_RUN:
        raise ValueError(f"must be within {FURTHEST_RUN.days} days from now")
    return moment


def _in_the_future(moment: datetime) -> datetime:
    if moment <= datetime.now(moment.tzinfo):
        raise ValueError("must be in the future")
    return moment


def _printable(key: str) -> str:
    if _IDEMPOTENCY_KEY.fullmatch(key) is None:
        raise ValueError("must be 1 to 200 printable ASCII characters without spaces")
    return key


IdempotencyKey = Annotated[str, AfterValidator(_printable)]
KeyHeader = Annotated[
    IdempotencyKey | None,
    Header(
        alias="Idempotency-Key",
        description="The same key and body again is the same job; with another body it is refused with 409.",
    ),
]


class JobBody(BaseModel):
    """What every kind has in common."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    kind: str
    payload: Any
    run_at: Annotated[
        Annotated[AwareDatetime, AfterValidator(_not_too_far)] | None,
        Field(description="Not before this moment; without it, as soon as it is your turn."),
    ] = None
    priority: Annotated[
        StrictInt, Field(ge=-10, le=10, description="Seconds of head start over your own other jobs.")
    ] = 0

    expires_at: Annotated[
        Annotated[AwareDatetime, AfterValidator(_in_the_future)] | None,
        Field(
            description="Nobody needs it any more after this moment: what has not begun by then is cancelled."
        ),
    ] = None
    after: Annotated[
        UUID | None,
        Field(description="Id of the job that must succeed first; if that one does not, this is cancelled."),
    ] = None

    @model_validator(mode="after")
    def _begins_before_it_expires(self) -> Self:
        if self.run_at is not None and self.expires_at is not None and self.expires_at <= self.run_at:
            raise ValueError("expires_at must be after run_at")
        return self

    def submission(self, idempotency_key: str | None) -> Submission:
        """Return what the engine records."""
        return Submission(
            kind=TENANT_CATALOG[self.kind],
            payload=self.payload,
            run_at=self.run_at,
            priority=self.priority,
            idempotency_key=idempotency_key,
            expires_at=self.expires_at,
            after=self.after,
        )


class BatchedJobBody(JobBody):
    """A job within a batch, where no header can carry its key."""

    idempotency_key: IdempotencyKey | None = None
    after: Annotated[
        UUID | StrictInt | None,
        Field(
            description="The job that must succeed first: its id, or its index (from 0) earlier in the batch."
        ),
    ] = None  # type: ignore[assignment] # a batch has one more way to name a job


def _body_of_kind(kind: JobKind[Any], base: type[BaseModel], prefix: str) -> type[BaseModel]:
    name = prefix + "".join(word.title() for word in kind.name.replace(".", "_").split("_"))
    fields: dict[str, Any] = {"kind": (Literal[kind.name], ...), "payload": (kind.payload, ...)}
    body: type[BaseModel] = create_model(
        name, __base__=base, __doc__=(kind.payload.__doc__ or "").strip(), **fields
    )
    return body


def any_kind(base: type[BaseModel], prefix: str) -> Any:
    """Return the union of *base* with the payload of each kind, told apart by `kind`."""
    bodies = tuple(_body_of_kind(kind, base, prefix) for kind in TENANT_CATALOG.values())
    return Annotated[Union[bodies], Field(discriminator="kind")]  # noqa: UP007 - a union of computed members


_BATCHED: Any = any_kind(BatchedJobBody, "Batched")


class JobBatch(BaseModel):
    """All of these jobs or, if any is refused, none."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    jobs: Annotated[tuple[_BATCHED, ...], Field(min_length=1, max_length=LARGEST_BATCH)]

    @model_validator(mode="after")
    def _wait_for_earlier_ones(self) -> Self:
        for index, job in enumerate(self.jobs):
            if isinstance(job.after, int) and not 0 <= job.after < index:
                raise ValueError(f"item {index}: after must be the index of an earlier job of the batch")
        return self


JOB: TypeAdapter[JobBody] = TypeAdapter(any_kind(JobBody, "Job"))
BATCH: TypeAdapter[JobBatch] = TypeAdapter(JobBatch)

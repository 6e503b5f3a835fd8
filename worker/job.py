"""What a job kind is, and the decorator that makes a function the body of one."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Generic, TypeVar

from celery import Task
from pydantic import BaseModel

from worker.app import app
from worker.brief import BODIES
from worker.context import Completion, Effects
from worker.execution import execute
from worker.origin import Origin, coming_from
from worker.tracing import note_ending, process

PayloadT = TypeVar("PayloadT", bound=BaseModel)
BodyT = TypeVar("BodyT", bound=Callable[..., Completion])

HARD_LIMIT_GRACE = timedelta(seconds=10)
"""Between asking a run to stop and stopping its process."""


class Lane(StrEnum):
    """A lane is a Celery queue with its own fair share among tenants."""

    SOCIAL = "social"
    SCORING = "scoring"
    ANALYTICS = "analytics"
    QUOTA = "quota"
    SYSTEM = "system"


def one_per_job(_: BaseModel) -> int:
    """Return the quantity of a kind whose meter counts jobs."""
    return 1


class BriefOutsideError(ValueError):
    """A kind that calls the outside cannot be brief: no transaction may stand across a call."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"kind {kind} calls the outside and cannot be brief")
        self.kind = kind


@dataclass(frozen=True, slots=True, kw_only=True)
class JobKind(Generic[PayloadT]):
    """Everything about a kind of job but its body.

    Args:
        name: ``area.verb``; fixed for ever, since recorded jobs carry it.
        payload: Model that validates what a tenant submits.
        permission: What the caller's token must grant to submit it; None is a kind no tenant submits.
        feature: Plan feature that gates it; None is every plan.
        meter: Quota meter it reserves from at submission, besides ``jobs_month``.
        quantity: How much of the meter a payload reserves.
        backoff: Ceiling of the first retry's random delay; doubles with each attempt up to an hour.
        time_limit: A run longer than this is stopped and counts as failed.
        brief: Its body takes milliseconds and only touches our database. Jobs of one organization that wait
            at the same time share a transaction; if one fails, each runs again by itself.
    """

    name: str
    payload: type[PayloadT]
    lane: Lane
    effects: Effects
    permission: str | None
    feature: str | None = None
    meter: str | None = None
    quantity: Callable[[PayloadT], int] = one_per_job
    max_attempts: int = 5
    backoff: timedelta = timedelta(seconds=2)
    time_limit: timedelta = timedelta(minutes=5)
    brief: bool = False

    def __post_init__(self) -> None:
        if self.brief and self.effects is not Effects.DATABASE:
            raise BriefOutsideError(self.name)


KINDS: dict[str, JobKind[Any]] = {}
"""Every kind whose body this process has loaded, by name."""


def runs(kind: JobKind[PayloadT]) -> Callable[[BodyT], BodyT]:
    """Make a function ``(job, payload) -> Completion`` the body of *kind*, run by a Celery task of its name.

    The first parameter is a ``DatabaseJob`` or an ``OutsideJob``, as the kind's effects say.
    """

    def decorate(body: BodyT) -> BodyT:
        KINDS[kind.name] = kind
        BODIES[kind.name] = (kind, body)

        def run(task: Any, *pointer: object) -> str:
            origin, (organization, job, *_) = Origin.of(task.request), (*map(str, pointer), "", "")
            with coming_from({job: origin}), process(kind.name, origin, organization, job):
                return note_ending(execute(kind, body, pointer, tenant=task.request.get("tenant")))

        hard_limit = kind.time_limit + HARD_LIMIT_GRACE
        app.task(
            name=kind.name,
            bind=True,
            typing=False,
            job_kind=kind,
            Strategy="worker.gather:strategy" if kind.brief else Task.Strategy,
            Request="worker.metrics.ended:CountedRequest",
            soft_time_limit=round(kind.time_limit.total_seconds()),
            time_limit=round(hard_limit.total_seconds()),
        )(run)
        return body

    return decorate

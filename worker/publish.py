"""Put the pointers of recorded jobs onto the fair-share queue."""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID, uuid4

import redis
import structlog

from config.celery import LANES
from config.plans import Plan
from config.settings import Settings, get_settings
from models.session import Database, call
from worker.fairshare.message import task_message
from worker.fairshare.queue import Entry, FairQueue, Placed, TenantSettings
from worker.fairshare.standing import Standing, standings
from worker.origin import HEADER, Origin
from worker.pointer import make_pointer
from worker.tracing import published

log = structlog.get_logger(__name__)

BROKER_REST_S = 1.0
"""After Redis failed, publishing is left to the relay for so long: nobody waits for a dead server twice."""

PRIORITY_STEP = timedelta(seconds=1)
"""Head start that one step of priority gives over the tenant's own jobs."""

CHANGED = "genius:changed"
"""Channel on which an organization is named of whose terms, users, keys or tokens something has changed."""

GENERATION_KEY = "genius:generation"
"""Gone when Redis was emptied, so the relay knows to rebuild."""


class BrokerAwayError(Exception):
    """Redis did not take the messages; they stay in the outbox."""


class Waiting(NamedTuple):
    """A recorded job whose next attempt wants a message."""

    organization_id: UUID
    terms: Plan
    job_id: UUID
    kind: str
    lane: str
    attempts_made: int
    priority: int
    due_at: datetime | None
    request_id: str | None = None
    """The request that wanted the job."""
    traceparent: str | None = None
    """The span that its attempts belong to."""

    @property
    def message_id(self) -> str:
        """Name the message."""
        return name_message(self.job_id, self.attempts_made)

    @property
    def origin(self) -> Origin:
        """Return what its message tells beside the pointer."""
        due_at = self.due_at.timestamp() if self.due_at else 0.0
        return Origin(self.terms.name, max(time.time(), due_at), self.request_id, self.traceparent)


def name_message(job_id: UUID, attempts_made: int) -> str:
    """Name a job's message: the same attempt twice is one message, the next attempt another."""
    return f"{job_id}:{attempts_made}"


class Publisher:
    """Publishes to the lanes of one Redis."""

    def __init__(self, settings: Settings) -> None:
        timeout = settings.broker_timeout.total_seconds()
        self._client = redis.Redis.from_url(
            str(settings.redis_url), socket_timeout=timeout, socket_connect_timeout=timeout
        )
        self._secret = settings.pointer_secret.get_secret_value().encode()
        self._resting_until = 0.0

    def publish(self, jobs: Iterable[Waiting]) -> int:
        """Publish; a message that is in the queue already stays as it is. Returns how many were not.

        Raises:
            BrokerAwayError: Redis is away or refused; nothing is known of what it took.
        """
        new, began_ns = 0, time.time_ns()
        waiting = sorted(jobs, key=attrgetter("lane"))
        terms = {id(job.terms): job.terms for job in waiting}
        settings = {key: queue_settings(plan).to_json() for key, plan in terms.items()}
        with self._broker() as client:
            for lane, group in groupby(waiting, key=attrgetter("lane")):
                entries = (self._entry(job, settings=settings[id(job.terms)]) for job in group)
                placed = FairQueue(client, lane).enqueue(entries)
                new += sum(place is not Placed.DUPLICATE for place in placed)
        published([job.traceparent for job in waiting if job.traceparent], began_ns)
        return new

    def withdraw(self, lane: str, *message_ids: str) -> None:
        """Take messages that nobody needs any more out of the queue; one that stays does no harm.

        Raises:
            BrokerAwayError: Redis is away.
        """
        with self._broker() as client:
            FairQueue(client, lane).cancel(message_ids)

    def entitle(self, organization_id: UUID, terms: Plan) -> None:
        """Let every lane know at once what a tenant may use, on the backlog it has.

        Raises:
            BrokerAwayError: Redis is away; the relay tells it when it offers the waiting jobs again.
        """
        settings = replace(queue_settings(terms), paused=terms.paused, paused_kinds=terms.paused_kinds)
        with self._broker() as client:
            for lane in LANES:
                FairQueue(client, lane).configure(str(organization_id), settings)

    def announce(self, organization_id: UUID) -> None:
        """Have every intake ask the database anew; one that does not hear it does so within two seconds."""
        with suppress(BrokerAwayError), self._broker() as client:
            client.publish(CHANGED, str(organization_id))

    def standings(self, organization_id: UUID, lanes: Sequence[str], *, sample: int = 0) -> list[Standing]:
        """Read what a tenant has in each of *lanes*, in one round trip; *sample* as in `standings`.

        Raises:
            BrokerAwayError: Redis is away.
        """
        with self._broker() as client:
            queues = [FairQueue(client, lane) for lane in lanes]
            return standings(queues, str(organization_id), sample=sample)

    @contextmanager
    def _broker(self) -> Iterator[redis.Redis]:
        """Lend the client; after it failed, nobody waits for it again for a moment."""
        if time.monotonic() < self._resting_until:
            raise BrokerAwayError("Redis failed a moment ago")
        try:
            yield self._client
        except redis.RedisError as error:
            self._resting_until = time.monotonic() + BROKER_REST_S
            raise BrokerAwayError(type(error).__name__) from error

    def _entry(self, job: Waiting, *, settings: str) -> Entry:
        pointer = make_pointer(
            job.organization_id,
            job.job_id,
            kind=job.kind,
            attempts_made=job.attempts_made,
            due_at=job.due_at,
        )
        arguments = pointer.sign(self._secret)
        tenant, message_id = arguments[0], job.message_id
        # The last argument is the signature: it stands in no representation that logs and Flower show.
        headers = {"tenant": tenant, "argsrepr": repr(arguments[:-1]), HEADER: list(job.origin)}
        return Entry(
            job=message_id,
            message=task_message(
                job.lane, job.kind, task_id=message_id, args=list(arguments), headers=headers
            ),
            tenant=tenant,
            kind=job.kind,
            due=job.due_at,
            head_start=PRIORITY_STEP * job.priority,
            must=True,  # it is recorded: the backlog was looked at before
            settings=settings,
        )

    def generation(self) -> str:
        """Name the Redis process and the life of its data.

        Raises:
            BrokerAwayError: Redis is away.
        """
        with self._broker() as client:
            client.set(GENERATION_KEY, uuid4().hex, nx=True)
            return f"{client.info('server')['run_id']}:{client.get(GENERATION_KEY)!r}"


def queue_settings(terms: Plan) -> TenantSettings:
    """Return what a tenant that is new to a lane may use of it."""
    return TenantSettings(
        weight=terms.weight,
        cap=terms.cap,
        soft_cap=terms.soft_cap or False,
        max_backlog=terms.max_backlog,
        paused=terms.paused or None,
        paused_kinds=terms.paused_kinds or None,
    )


def publish_recorded(database: Database, publisher: Publisher, jobs: Sequence[Waiting]) -> None:
    """Publish the same attempt of jobs of one organization and clear them from the outbox.

    What fails is left to the relay.
    """
    if not jobs:
        return
    try:
        publisher.publish(jobs)
    except BrokerAwayError as error:
        log.warning("Redis is away; the relay will publish", jobs=len(jobs), reason=str(error))
        return
    call(
        database,
        jobs[0].organization_id,
        "mark_published",
        job_ids=[job.job_id for job in jobs],
        attempts_made=jobs[0].attempts_made,
    )


@cache
def get_publisher() -> Publisher:
    """Return the publisher of this process."""
    return Publisher(get_settings())


os.register_at_fork(after_in_child=get_publisher.cache_clear)

"""Dead letters: count and requeue those that a filter finds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import ColumnElement, func, select

from models.job import DeadLetter
from models.organization import Tenant
from models.session import Database, call, tenant_session
from worker.publish import Publisher, get_publisher, publish_recorded
from worker.refusal import LimitExceededError, translated
from worker.submit import quota_now, revived

BATCH = 500
"""Jobs of one transaction: all of them are requeued or none."""


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Which dead letters are meant; a field that is None means any."""

    kind: str | None = None
    fingerprint: str | None = None
    since: datetime | None = None
    """Died at or after this moment."""
    until: datetime | None = None
    """Died before this moment."""
    job_ids: Sequence[UUID] | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the filter as conditions on `DeadLetter`."""
        found = []
        if self.kind is not None:
            found.append(DeadLetter.kind == self.kind)
        if self.fingerprint is not None:
            found.append(DeadLetter.fingerprint == self.fingerprint)
        if self.since is not None:
            found.append(DeadLetter.died_at >= self.since)
        if self.until is not None:
            found.append(DeadLetter.died_at < self.until)
        if self.job_ids is not None:
            found.append(DeadLetter.job_id.in_(self.job_ids))
        return found


@dataclass(frozen=True, slots=True)
class Requeued:
    """What a request to requeue found and did."""

    matched: int
    """Dead letters that the filter found."""
    requeued: int
    refusal: LimitExceededError | None = None
    """Why the rest stayed: the batches before are requeued, this one and those after are not."""


def count_dead(database: Database, tenant: Tenant, wanted: DeadLetterFilter) -> int:
    """Return how many dead letters *wanted* finds."""
    counted = select(func.count()).select_from(DeadLetter).where(*wanted.conditions())
    with tenant_session(database, tenant.organization_id) as session:
        return session.scalars(counted).one()


def requeue_dead(
    database: Database,
    tenant: Tenant,
    wanted: DeadLetterFilter,
    *,
    limit: int,
    publisher: Publisher | None = None,
) -> Requeued:
    """Give the oldest *limit* jobs that *wanted* finds another life, a batch a transaction.

    One that dies again meanwhile is not requeued twice.
    """
    publisher = publisher or get_publisher()
    matched, requeued = count_dead(database, tenant, wanted), 0
    for batch in _batches(database, tenant, wanted, limit):
        try:
            rows = call(database, tenant.organization_id, "requeue_dead", jobs=batch, quota=quota_now(tenant))
        except psycopg.Error as error:
            refusal = translated(error)
            if isinstance(refusal, LimitExceededError):
                return Requeued(matched, requeued, refusal)
            raise refusal from error
        _publish(database, tenant, rows, publisher)
        requeued += len(rows)
    return Requeued(matched, requeued)


def _batches(
    database: Database, tenant: Tenant, wanted: DeadLetterFilter, limit: int
) -> Iterator[list[UUID]]:
    """Yield the ids found, each once, in the order in which the jobs were made."""
    after = UUID(int=0)
    while limit > 0:
        page = (
            select(DeadLetter.job_id)
            .where(DeadLetter.job_id > after, *wanted.conditions())
            .order_by(DeadLetter.job_id)
            .limit(min(BATCH, limit))
        )
        with tenant_session(database, tenant.organization_id) as session:
            found = list(session.scalars(page))
        if not found:
            return
        yield found
        after, limit = found[-1], limit - len(found)


def _publish(
    database: Database, tenant: Tenant, rows: Sequence[dict[str, Any]], publisher: Publisher
) -> None:
    """Publish; the outbox is cleared for one number of attempts at a time."""
    waiting = sorted((revived(tenant, row) for row in rows), key=lambda job: job.attempts_made)
    for _, group in groupby(waiting, key=lambda job: job.attempts_made):
        publish_recorded(database, publisher, list(group))

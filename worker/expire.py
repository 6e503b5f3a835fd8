"""Cancel jobs that nobody needs any more because they did not start in time."""

from itertools import groupby
from operator import itemgetter
from uuid import UUID

import structlog
from sqlalchemy import func, select

from models.job import JobExpiry
from models.session import Database, RelayDatabase, call, relay_session
from worker.publish import BrokerAwayError, Publisher, name_message

log = structlog.get_logger(__name__)

BATCH = 500
"""Jobs of one organization that one round looks at."""

ORGANIZATIONS = 50
"""Organizations that one round looks at."""


def expire_due(relay: RelayDatabase, database: Database, publisher: Publisher) -> int:
    """Cancel a batch of what expired while it waited; return how many. Safe to run many times at once."""
    return sum(_attempted(database, publisher, organization_id) for organization_id in _find_due(relay))


def _find_due(relay: RelayDatabase) -> list[UUID]:
    oldest = (
        select(JobExpiry.organization_id)
        .where(JobExpiry.expires_at <= func.clock_timestamp())
        .order_by(JobExpiry.expires_at)
        .limit(BATCH)
    )
    with relay_session(relay) as session:
        return list(dict.fromkeys(session.scalars(oldest)))[:ORGANIZATIONS]


def _attempted(database: Database, publisher: Publisher, organization_id: UUID) -> int:
    try:
        return _expire(database, publisher, organization_id)
    except Exception as error:  # whatever is wrong with one organization stops no other
        log.warning(
            "expiring jobs failed",
            organization=str(organization_id),
            error=type(error).__name__,
            exc_info=True,
        )
        return 0


def _expire(database: Database, publisher: Publisher, organization_id: UUID) -> int:
    ended = call(database, organization_id, "expire_jobs", batch=BATCH)
    for lane, rows in groupby(sorted(ended, key=itemgetter("lane")), key=itemgetter("lane")):
        messages = [name_message(row["job_id"], row["attempt"]) for row in rows]
        try:
            publisher.withdraw(lane, *messages)
        except BrokerAwayError:
            break  # handed out in their turn, they claim nothing
    if ended:
        log.info("jobs expired", organization=str(organization_id), jobs=len(ended))
    return len(ended)

"""The bodies of the system's own kinds: a relay pass on demand, and removal of what nobody needs any more."""

from dataclasses import asdict
from datetime import datetime, timedelta
from functools import cache
from uuid import UUID

from sqlalchemy import ColumnElement, CursorResult, DateTime, delete, func, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from config.settings import get_settings
from models.analytics import AnalyticsEventKey
from models.base import Base
from models.job import IdempotencyKey
from models.quota import bound_tenant
from models.session import RelayDatabase, open_relay_database
from tasks.catalog import RELAY_TICK, RETENTION
from tasks.credentials import encrypt_anew
from tasks.payloads import Nothing
from tasks.privacy.expiry import expire_exports
from tasks.quota_accounting.store import expire_holds
from tasks.quota_accounting.worker_time import book, read_charges
from tasks.vault import get_vault
from worker.context import Completion, DatabaseJob, OutsideJob
from worker.job import runs
from worker.publish import get_publisher
from worker.relay import run_pass

IDEMPOTENCY_KEYS_KEPT = timedelta(days=2)
"""A client that repeats a request later than this makes a second job."""

EVENT_KEYS_KEPT = timedelta(days=60)
"""An analytics event sent again later than this counts twice."""

SUCCEEDED_STAY = timedelta(hours=1)
"""A job that succeeded goes to the history after this long: the table of living jobs stays small."""

RETRYABLE_FOR = timedelta(days=30)
"""A job that died or was cancelled goes to the history after this long, and cannot be retried any more."""

BATCH = 10_000
"""Rows of one table that one job removes; the next job takes the rest."""

ARCHIVE_BATCH = 100_000
"""Jobs that one job moves to the history."""


@runs(RELAY_TICK)
def relay_tick(job: OutsideJob, payload: Nothing) -> Completion:  # noqa: ARG001 - needs neither
    """Run one relay pass, as beat does every few seconds."""
    return Completion(asdict(run_pass(_relay_database(), get_publisher())))


@cache
def _relay_database() -> RelayDatabase:
    return open_relay_database(get_settings())


@runs(RETENTION)
def retain(job: DatabaseJob, payload: Nothing) -> Completion:  # noqa: ARG001 - there is nothing to ask for
    """Move finished jobs to the history, remove what nobody needs any more, and bring quota up to date."""
    organization_id = job.claim.organization_id
    charged = read_charges(get_publisher(), organization_id)
    session = job.session
    tenant, now = bound_tenant(session), now_of(session)
    archive = func.app.archive_jobs(now - SUCCEEDED_STAY, now - RETRYABLE_FOR, ARCHIVE_BATCH)
    forget = func.app.forget_jobs(now - timedelta(days=tenant.terms.history_days), BATCH)
    removed = {
        "jobs_archived": session.scalars(select(archive)).one(),
        "jobs_forgotten": session.scalars(select(forget)).one(),
        "idempotency_keys": _remove(
            session,
            IdempotencyKey,
            organization_id,
            key=IdempotencyKey.key,
            old=IdempotencyKey.created_at < func.now() - IDEMPOTENCY_KEYS_KEPT,
        ),
        "analytics_event_keys": _remove(
            session,
            AnalyticsEventKey,
            organization_id,
            key=AnalyticsEventKey.key,
            old=AnalyticsEventKey.received_at < func.now() - EVENT_KEYS_KEPT,
        ),
    }
    removed["exports"] = expire_exports(session, organization_id)
    booked = 0 if charged is None else book(session, tenant, charged, source=job.claim.job_id)
    expired = expire_holds(session, organization_id)
    tokens = {}
    if get_settings().retired_credential_secrets:
        tokens = {"secrets_encrypted_anew": encrypt_anew(session, get_vault()).changed}
    return Completion(removed | {"worker_seconds": booked, "expired_holds": expired} | tokens)


def now_of(session: Session) -> datetime:
    """Return the database's clock."""
    return session.execute(select(func.clock_timestamp(type_=DateTime(timezone=True)))).scalar_one()


def _remove(
    session: Session,
    table: type[Base],
    organization_id: UUID,
    *,
    key: InstrumentedAttribute[str],
    old: ColumnElement[bool],
) -> int:
    """Remove at most a batch of the rows that are *old*; return how many."""
    owner = table.__table__.c.organization_id
    doomed = select(owner, key).where(owner == organization_id, old).limit(BATCH)
    result = session.execute(
        delete(table).where(tuple_(owner, key).in_(doomed)).execution_options(synchronize_session=False)
    )
    assert isinstance(result, CursorResult)
    return result.rowcount

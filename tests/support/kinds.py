"""Kinds of job for tests: workers get them with ``celery worker -I tests.support.kinds``."""

import time
from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel
from sqlalchemy import select
from uuid_utils.compat import uuid7

from models.campaign import Campaign
from tests.support.gate import stand_at
from worker.context import Completion, DatabaseJob, Effects, PermanentJobError, RetryLaterError
from worker.job import JobKind, Lane, runs

INCLUDE = ("-I", "tests.support.kinds")


class Leave(BaseModel):
    """Leave one campaign of this name; a second run of the same job would leave a second one."""

    name: str
    sleep_ms: int = 0
    failures: int = 0
    """Attempts that fail before one succeeds."""
    permanent: bool = False
    gate: Path | None = None
    """A `Gate` that it stands at until it is opened."""

    def dwell(self) -> None:
        """Take the time that was asked for."""
        time.sleep(self.sleep_ms / 1000)
        if self.gate:
            stand_at(self.gate)


LEAVE_CAMPAIGN = JobKind(
    name="test.leave_campaign",
    payload=Leave,
    lane=Lane.SCORING,
    effects=Effects.DATABASE,
    permission=None,
    max_attempts=10,
    backoff=timedelta(milliseconds=50),
)


@runs(LEAVE_CAMPAIGN)
def leave_campaign(job: DatabaseJob, payload: Leave) -> Completion:
    """Insert first, then dwell: a killed worker leaves an insert that must not commit."""
    job.session.add(Campaign(organization_id=job.claim.organization_id, name=payload.name))
    job.session.flush()
    payload.dwell()
    if job.claim.attempt <= payload.failures:
        if payload.permanent:
            raise PermanentJobError("told to fail for good")
        raise RuntimeError("told to fail")
    left = job.session.scalars(select(Campaign.id).where(Campaign.name == payload.name)).all()
    return Completion({"left": len(left)})


class Ask(BaseModel):
    """Leave one campaign of this name, once a remote that is busy at first lets us."""

    name: str
    refusals: int = 0
    """Attempts that the remote asks to come back later."""
    after_ms: int = 100


ASK_REMOTE = JobKind(
    name="test.ask_remote",
    payload=Ask,
    lane=Lane.QUOTA,
    effects=Effects.DATABASE,
    permission=None,
    max_attempts=10,
    backoff=timedelta(milliseconds=50),
)


@runs(ASK_REMOTE)
def ask_remote(job: DatabaseJob, payload: Ask) -> Completion:
    """Insert first: what was done before the remote refused must not commit."""
    job.session.add(Campaign(organization_id=job.claim.organization_id, name=payload.name))
    job.session.flush()
    if job.claim.attempt <= payload.refusals:
        raise RetryLaterError("the remote is busy", after=timedelta(milliseconds=payload.after_ms))
    return Completion({"left": payload.name})


LEAVE_BRIEFLY = JobKind(
    name="test.leave_briefly",
    payload=Leave,
    lane=Lane.SCORING,
    effects=Effects.DATABASE,
    permission=None,
    max_attempts=10,
    backoff=timedelta(milliseconds=50),
    brief=True,
)

INSERT_CAMPAIGN = "INSERT INTO campaigns (organization_id, id, name) VALUES (%s, %s, %s)"


@runs(LEAVE_BRIEFLY)
def leave_briefly(job: DatabaseJob, payload: Leave) -> Completion:
    """Insert first, as above, but straight to the driver; several of these share a transaction."""
    job.execute(INSERT_CAMPAIGN, (job.claim.organization_id, uuid7(), payload.name))
    payload.dwell()
    if job.claim.attempt <= payload.failures:
        if payload.permanent:
            raise PermanentJobError("told to fail for good")
        raise RuntimeError("told to fail")
    return Completion({"left": payload.name})

"""Kinds of job that take too long: workers get them with ``celery worker -I tests.support.stubborn``."""

import time
from datetime import timedelta
from uuid import UUID

from celery.exceptions import SoftTimeLimitExceeded
from pydantic import BaseModel

import worker.job
from models.campaign import Campaign
from worker.context import Completion, DatabaseJob, Effects
from worker.job import JobKind, Lane, runs

worker.job.HARD_LIMIT_GRACE = timedelta(seconds=4)
"""Ten seconds otherwise."""

INCLUDE = ("-I", "tests.support.stubborn")


class Dwell(BaseModel):
    """Leave a campaign and take so long."""

    seconds: float
    stubborn: bool = False
    """Do not stop when asked to."""
    once: bool = False
    """Only the first attempt takes its time."""


def _kind(name: str, time_limit: timedelta) -> JobKind[Dwell]:
    return JobKind(
        name=name,
        payload=Dwell,
        lane=Lane.SCORING,
        effects=Effects.DATABASE,
        permission=None,
        max_attempts=2,
        backoff=timedelta(milliseconds=10),
        time_limit=time_limit,
    )


LIMITED = _kind("test.limited", timedelta(seconds=4))
UNLIMITED = _kind("test.unlimited", timedelta(minutes=5))


def _dwell(job: DatabaseJob, payload: Dwell) -> Completion:
    organization_id: UUID = job.claim.organization_id
    job.session.add(Campaign(organization_id=organization_id, name="left"))
    job.session.flush()
    end = time.monotonic() + (0 if payload.once and job.claim.attempt > 1 else payload.seconds)
    while time.monotonic() < end:
        try:
            time.sleep(max(end - time.monotonic(), 0))
        except SoftTimeLimitExceeded:
            if not payload.stubborn:
                raise
    return Completion()


runs(LIMITED)(_dwell)
runs(UNLIMITED)(_dwell)

"""What ends an attempt and when the next one begins; what ends a transaction that stands still."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from models.session import call, tenant_session
from tests.integration.endings.steps import Endings, leave
from tests.support import outcome
from tests.support.kinds import LEAVE_CAMPAIGN, Leave
from tests.support.wait import wait_until
from worker.backoff import LONGEST_PAUSE, retry_moment
from worker.context import JobCancelledError, PermanentJobError, RetryLaterError

BASE = timedelta(seconds=2)


def pauses(error: Exception, *, attempt: int) -> list[timedelta]:
    moments = (retry_moment(error, attempt=attempt, base=BASE) for _ in range(200))
    return [moment - datetime.now(UTC) for moment in moments if moment is not None]


def invalid() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Leave.model_validate({})
    return caught.value


def test_errors_that_trying_again_cannot_mend_are_not_tried_again() -> None:
    for error in (PermanentJobError("x"), JobCancelledError("x"), invalid()):
        assert pauses(error, attempt=1) == []


def test_a_remote_says_itself_when_to_come_back() -> None:
    wanted = timedelta(minutes=7)
    found = pauses(RetryLaterError("busy", after=wanted), attempt=4)
    assert all(timedelta(0) <= wanted - pause < timedelta(seconds=5) for pause in found)


@pytest.mark.parametrize(("attempt", "ceiling"), [(1, BASE), (3, 4 * BASE), (60, LONGEST_PAUSE)])
def test_other_errors_wait_at_random_under_a_ceiling_that_doubles(attempt: int, ceiling: timedelta) -> None:
    for error in (RuntimeError("x"), SoftTimeLimitExceeded(), RetryLaterError("later")):
        found = pauses(error, attempt=attempt)
        assert all(-timedelta(seconds=1) < pause <= ceiling for pause in found)
        assert max(found) > ceiling * 0.8 > ceiling * 0.2 > min(found), "the whole range is used"


def test_a_retry_that_a_remote_asked_for_uses_up_no_attempt(endings: Endings) -> None:
    [job] = endings.submit(leave())
    for n in range(3 * LEAVE_CAMPAIGN.max_attempts):
        [row] = call(
            endings.database,
            endings.tenant.organization_id,
            "fail_job",
            job=job.id,
            held_attempt=endings.begin(job.id),
            why={"type": "RetryLaterError"},
            retry_at=datetime.now(UTC),
            counts=n < LEAVE_CAMPAIGN.max_attempts - 1,
        )
        assert row["state"] == "queued"
    assert endings.fail(job.id, endings.begin(job.id), retry_at=datetime.now(UTC)) == "dead"
    assert outcome.quota(endings.database, endings.tenant) == (0, 0)


def test_a_transaction_that_stands_still_is_ended_and_the_next_one_works(endings: Endings) -> None:
    organization_id = endings.tenant.organization_id

    def stand_still() -> None:
        with tenant_session(endings.database, organization_id) as session:
            session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '50ms'"))
            since = time.monotonic()
            wait_until(lambda: time.monotonic() - since > 0.3)
            session.execute(text("SELECT 1"))

    with pytest.raises(DBAPIError, match="idle-in-transaction timeout"):
        stand_still()
    [job] = endings.submit(leave())
    assert endings.states(job) == ["queued"]

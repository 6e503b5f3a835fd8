"""Decide whether a failed attempt is tried again, and when."""

import random
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError

from worker.context import JobCancelledError, PermanentJobError, RetryLaterError

LONGEST_PAUSE = timedelta(hours=1)


def retry_moment(error: Exception, *, attempt: int, base: timedelta) -> datetime | None:
    """Return when to try again after *error* ended the given attempt; None is never.

    Source: exponential backoff with full jitter (Brooker, "Exponential Backoff And Jitter", 2015).
    """
    match error:
        case PermanentJobError() | JobCancelledError() | ValidationError():
            return None
        case RetryLaterError(after=timedelta() as after):
            return datetime.now(UTC) + after
        case _:
            # Doubling stops at 2^20 times: beyond the cap anyway, and far from overflowing a timedelta.
            ceiling: timedelta = min(LONGEST_PAUSE, base * 2 ** min(attempt - 1, 20))
            return datetime.now(UTC) + ceiling * random.random()  # noqa: S311 - jitter, not a secret

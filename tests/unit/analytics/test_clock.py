"""What the clocks of senders may say."""

from datetime import UTC, datetime, timedelta

import pytest

from config.plans import PLANS
from intake.ingest.clock import AHEAD, BELIEVED, MOST_SKEW, check_times, put_right
from intake.ingest.event import EventBatch, EventBody
from intake.problem import InvalidRequestError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def batch(*moments: datetime, sent_at: datetime | None = None) -> EventBatch:
    return EventBatch(events=tuple(EventBody(name="view", occurred_at=at) for at in moments), sent_at=sent_at)


def check(*moments: datetime, plan: str = "starter", raw_from: datetime | None = None) -> list[int | None]:
    events = list(enumerate(batch(*moments).events))
    try:
        check_times(events, now=NOW, terms=PLANS[plan], raw_from=raw_from)
    except InvalidRequestError as refusal:
        return [error.index for error in refusal.errors]
    return []


def test_a_little_of_the_future_is_believed() -> None:
    assert check(NOW + AHEAD, NOW + AHEAD + timedelta(seconds=1)) == [1]


def test_the_past_is_as_long_as_the_plan_keeps_raw_events() -> None:
    kept = timedelta(days=PLANS["starter"].event_days)
    assert check(NOW - kept, NOW - kept - timedelta(seconds=1)) == [1]
    assert check(NOW - kept - timedelta(seconds=1), plan="professional") == []


def test_what_was_removed_under_another_plan_is_too_old() -> None:
    since = NOW - timedelta(days=92)
    assert check(since, since - timedelta(seconds=1), plan="enterprise", raw_from=since) == [1]


def test_no_more_than_a_hundred_are_named_and_all_are_counted() -> None:
    with pytest.raises(InvalidRequestError, match="and 149 more") as refusal:
        check_times(
            list(enumerate(batch(*[NOW + timedelta(days=1)] * 150).events)),
            now=NOW,
            terms=PLANS["starter"],
            raw_from=None,
        )
    assert len(refusal.value.errors) == 100


@pytest.mark.parametrize("skew", [timedelta(hours=5), -timedelta(hours=5)], ids=str)
def test_a_wrong_clock_is_put_right(skew: timedelta) -> None:
    happened = NOW - timedelta(minutes=10)
    [event] = put_right(batch(happened - skew, sent_at=NOW - skew), NOW).events
    assert event.occurred_at == happened


def test_the_way_of_the_request_is_no_error_of_the_clock() -> None:
    sent = batch(NOW, sent_at=NOW - BELIEVED)
    assert put_right(sent, NOW) is sent


def test_a_clock_that_is_days_off_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="set your clock"):
        put_right(batch(NOW, sent_at=NOW + MOST_SKEW + timedelta(seconds=1)), NOW)

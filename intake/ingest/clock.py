"""Rules for the clocks of those who send events: what is believed, what is put right and what is refused."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from config.plans import Plan
from intake.ingest.event import EventBatch, PlainEvent
from intake.problem import FieldError, InvalidRequestError

AHEAD = timedelta(minutes=15)
"""An event may be so far in the future: clocks differ, and such an event is counted where it says."""
BELIEVED = timedelta(minutes=1)
"""A difference up to this is the way of the request as much as the clock, and is left alone."""
MOST_SKEW = timedelta(days=1)
"""A clock that is wrong by more is refused: then nobody knows what else it got wrong."""
MOST_NAMED = 100
"""Refused events that an answer names."""


def put_right(batch: EventBatch, now: datetime) -> EventBatch:
    """Return the batch with the error of the sender's clock taken off every event.

    Raises:
        InvalidRequestError: `sent_at` is too far from the truth.
    """
    if batch.sent_at is None:
        return batch
    skew = now - batch.sent_at
    if abs(skew) > MOST_SKEW:
        message = f"is {_words(abs(skew))} from our clock ({now:%Y-%m-%dT%H:%M:%SZ}); set your clock"
        raise InvalidRequestError([FieldError(field="sent_at", message=message)])
    if abs(skew) <= BELIEVED:
        return batch
    events = tuple(
        event.model_copy(update={"occurred_at": event.occurred_at + skew}) for event in batch.events
    )
    return batch.model_copy(update={"events": events})


def check_times(
    events: Iterable[tuple[int, PlainEvent]],
    *,
    now: datetime,
    terms: Plan,
    raw_from: datetime | None,
    field: str = "occurred_at",
) -> None:
    """Refuse events from the future, and those older than the plan keeps raw events or than are still kept.

    Raises:
        InvalidRequestError: Names each of them and what would do.
    """
    oldest = now - timedelta(days=terms.event_days)
    if raw_from is not None:
        oldest = max(oldest, raw_from)
    errors = [
        FieldError(index=index, field=field, message=message)
        for index, event in events
        if (message := _wrong(event.occurred_at, now, oldest, terms)) is not None
    ]
    if errors:
        raise InvalidRequestError(errors[:MOST_NAMED], more=max(len(errors) - MOST_NAMED, 0))


def _wrong(moment: datetime, now: datetime, oldest: datetime, terms: Plan) -> str | None:
    if moment > now + AHEAD:
        return (
            f"is {_words(moment - now)} in the future; at most {_words(AHEAD)} are allowed. "
            "If your clock is wrong, send sent_at"
        )
    if moment < oldest:
        kept = f"the plan {terms.name} keeps raw events for {terms.event_days} days"
        return f"is too old: {kept}, so events from {oldest:%Y-%m-%dT%H:%M:%SZ} on are counted"
    return None


def _words(span: timedelta) -> str:
    """Return a span in its largest unit."""
    seconds = round(span.total_seconds())
    for name, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {name}"
    return f"{seconds} seconds"

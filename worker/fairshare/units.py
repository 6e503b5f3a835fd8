"""Convert times at the border to Lua, where they are whole microseconds."""

from datetime import UTC, datetime, timedelta

MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_us(span: timedelta) -> int:
    """Return a span in whole microseconds."""
    return span // MICROSECOND


def from_us(span_us: float) -> timedelta:
    """Return the span of so many microseconds."""
    return timedelta(microseconds=span_us)


def moment_to_us(moment: datetime) -> int:
    """Return an aware moment in microseconds since 1970."""
    return (moment - EPOCH) // MICROSECOND


def moment_from_us(moment_us: float) -> datetime | None:
    """Return the moment so many microseconds after 1970; None for 0, which the scripts use for no moment."""
    return EPOCH + timedelta(microseconds=moment_us) if moment_us else None

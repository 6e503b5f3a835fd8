"""How numbers and moments are spelled for people."""

from datetime import datetime, timedelta

MINUTE, HOUR, DAY = 60, 3600, 86_400


def span(seconds: float | timedelta | None) -> str:
    """Spell a span of time in two units at most: 850 ms, 4.2 s, 3 min 10 s, 2 h 5 min, 3 d 4 h."""
    if seconds is None:
        return ""
    value = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < MINUTE:
        return f"{value:.1f} s"
    whole = int(value)
    if whole < HOUR:
        return _two(whole // MINUTE, "min", whole % MINUTE, "s")
    if whole < DAY:
        return _two(whole // HOUR, "h", whole % HOUR // MINUTE, "min")
    return _two(whole // DAY, "d", whole % DAY // HOUR, "h")


def _two(count: int, unit: str, rest: int, smaller: str) -> str:
    return f"{count} {unit} {rest} {smaller}" if rest else f"{count} {unit}"


def share(part: float | None) -> str:
    """Spell a share of worker time; small ones stay visible."""
    if part is None:
        return "-"
    return f"{part * 100:.1f} %" if part >= 0.0005 or part == 0 else "< 0.1 %"  # noqa: PLR2004 - one decimal


def moment(at: datetime | None) -> str:
    """Spell a moment, UTC, to the second."""
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"

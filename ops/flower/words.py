"""How numbers and moments are spelled on our pages."""

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
    if value < HOUR:
        return f"{value // MINUTE:.0f} min {value % MINUTE:.0f} s"
    if value < DAY:
        return f"{value // HOUR:.0f} h {value % HOUR // MINUTE:.0f} min"
    return f"{value // DAY:.0f} d {value % DAY // HOUR:.0f} h"


def share(part: float | None) -> str:
    """Spell a share of worker time; small ones stay visible."""
    if part is None:
        return "-"
    return f"{part * 100:.1f} %" if part >= 0.0005 or part == 0 else "< 0.1 %"  # noqa: PLR2004 - one decimal


def moment(at: datetime | None) -> str:
    """Spell a moment, UTC, to the second."""
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"

"""Numbers as a person reads them."""

from collections.abc import Callable, Mapping
from typing import Any

from tasks.reporting.metric import Unit
from tasks.text import clean

NOTHING = "–"  # noqa: RUF001 - the dash that stands for no value
MINUTE, HOUR = 60, 3600


def shown(value: Any, unit: str) -> str:
    """Return *value* in its *unit*."""
    if value is None:
        return NOTHING
    write = _WRITTEN.get(unit)
    return clean(str(value)) if write is None else write(value)


def _count(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def _span(seconds: float) -> str:
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    if seconds < HOUR:
        return f"{seconds / MINUTE:.1f} min"
    return f"{seconds / HOUR:.1f} h"


_WRITTEN: Mapping[str, Callable[[float], str]] = {
    Unit.SHARE: lambda value: f"{value * 100:.1f} %",
    Unit.SHARE_CHANGE: lambda value: f"{value * 100:+.1f} points" if value else "0",
    Unit.SECONDS: _span,
    Unit.POINTS: lambda value: f"{value:.1f}",
    Unit.VALUE: lambda value: f"{value:,.2f}",
    Unit.COUNT: _count,
}


def signed(value: float, unit: str) -> str:
    """Return *value* with its sign."""
    return f"{'-' if value < 0 else '+'}{shown(abs(value), unit)}"


def difference(value: float, unit: str) -> str:
    """Return by how much something changed; a share changes by percentage points, not by per cent."""
    return shown(value, Unit.SHARE_CHANGE) if unit == Unit.SHARE else signed(value, unit)


def meter_name(meter: str) -> str:
    """Return a meter as words."""
    words = meter.replace("_", " ")
    return f"{words.removesuffix(' month')} a month".capitalize() if words.endswith(" month") else words

"""Trends that one odd week cannot bend."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from statistics import median

LEAST_WEEKS = 4
STEADY_SHARE = 0.02
"""Of the usual level a week: less is steady."""


class Direction(StrEnum):
    RISING = "rising"
    FALLING = "falling"
    STEADY = "steady"
    UNKNOWN = "not enough data"


@dataclass(frozen=True, slots=True)
class Trend:
    """Where a series of weeks is heading."""

    direction: Direction
    slope: float | None
    """Change a week, in the metric's unit."""
    weeks: int
    """How many weeks had a value."""


def trend_of(values: Sequence[float | None]) -> Trend:
    """Return the trend of weekly *values*, oldest first; a week without a value is left out.

    Source: Theil (1950), Sen (1968): the median of the slopes between all pairs of points.
    """
    points = [(week, value) for week, value in enumerate(values) if value is not None]
    if len(points) < LEAST_WEEKS:
        return Trend(Direction.UNKNOWN, None, len(points))
    slopes = [(later[1] - earlier[1]) / (later[0] - earlier[0]) for earlier, later in combinations(points, 2)]
    slope = median(slopes)
    usual = median(abs(value) for _, value in points)
    # A series that is mostly zero has no usual level: any slope of it is a change.
    if abs(slope) <= STEADY_SHARE * usual:
        return Trend(Direction.STEADY, slope, len(points))
    return Trend(Direction.RISING if slope > 0 else Direction.FALLING, slope, len(points))

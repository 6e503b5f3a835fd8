"""Geometry of the report's charts; the template draws it as inline SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 240.0, 56.0
MARGIN = 5.0
BASE = HEIGHT - MARGIN

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Sparkline:
    """A line through weekly values; it breaks where a week has none."""

    lines: tuple[str, ...]
    """`points` of each unbroken part."""
    areas: tuple[str, ...]
    """`points` of what lies below each part."""
    dots: tuple[Point, ...]
    """Weeks that stand alone."""
    last: Point | None
    """The latest week, when it has a value."""


def sparkline(values: Sequence[float | None]) -> Sparkline:
    """Lay out *values*, oldest first; the scale begins at zero, so that heights compare."""
    known = [value for value in values if value is not None]
    top, bottom = max([*known, 0]), min([*known, 0])
    span = (top - bottom) or 1
    step = (WIDTH - 2 * MARGIN) / max(len(values) - 1, 1)
    places: list[Point | None] = [
        None
        if value is None
        else (round(MARGIN + place * step, 1), round(BASE - (value - bottom) / span * (BASE - MARGIN), 1))
        for place, value in enumerate(values)
    ]
    parts = _unbroken(places)
    return Sparkline(
        lines=tuple(_points(part) for part in parts if len(part) > 1),
        areas=tuple(
            _points([(part[0][0], BASE), *part, (part[-1][0], BASE)]) for part in parts if len(part) > 1
        ),
        dots=tuple(part[0] for part in parts if len(part) == 1),
        last=places[-1] if places else None,
    )


def _unbroken(places: Sequence[Point | None]) -> list[list[Point]]:
    parts: list[list[Point]] = [[]]
    for place in places:
        if place is not None:
            parts[-1].append(place)
        elif parts[-1]:
            parts.append([])
    return [part for part in parts if part]


def _points(points: Sequence[Point]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)

"""Sketches of distinct visitors (HyperLogLog), to be united over days where exact counts cannot be added.

Source: Apache DataSketches, https://datasketches.apache.org/docs/HLL/HllSketches.html
"""

from collections.abc import Iterable

from datasketches import HLL_4, hll_sketch, hll_union  # type: ignore[import-untyped] # ships no types

PRECISION = 12
"""Binary logarithm of the number of registers: at most 2 KiB a sketch."""
RELATIVE_ERROR = 1.04 / 2 ** (PRECISION / 2)
"""Standard error of a united sketch, 1.6 %: 95 of 100 answers are within 3.3 %. Small numbers are exact."""


def add(sketch: bytes | None, visitors: Iterable[int]) -> bytes:
    """Return the sketch with *visitors* in it."""
    made = hll_sketch(PRECISION, HLL_4) if sketch is None else hll_sketch.deserialize(sketch)
    for visitor in visitors:
        made.update(visitor)
    return bytes(made.serialize_compact())


class Union:
    """Distinct visitors of several days."""

    def __init__(self) -> None:
        self._union = hll_union(PRECISION)

    def sketch(self, sketch: bytes) -> None:
        """Unite with a day's sketch."""
        self._union.update(hll_sketch.deserialize(sketch))

    def visitors(self, visitors: Iterable[int]) -> None:
        """Unite with visitors that no sketch has."""
        for visitor in visitors:
            self._union.update(visitor)

    def count(self) -> int:
        """Return the estimate."""
        return round(float(self._union.get_estimate()))

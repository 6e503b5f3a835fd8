"""Turn the fields of leads into columns of numbers, by rules learned from the training leads."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tasks.lead_scoring.engagement import Floats
from tasks.lead_scoring.fit import Column, plain

NUMERIC_SHARE = 0.95
"""A field is numeric when this share of its values are numbers."""
RAREST_LEVEL = 10
MOST_LEVELS = 30
MOST_FIELDS = 100

KNOTS = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
"""Where a number's effect may bend, in standard deviations. Source: linear splines (Hastie et al., 5.2)."""


class Encoded(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str


class NumericField(Encoded):
    """A number: log(1 + |x|) with its sign, standardised, bent at fixed knots; whether it is 0 or missing."""

    type: Literal["numeric"] = "numeric"
    mean: float
    scale: float

    def columns(self, values: Column) -> Floats:
        """Return the columns of the field. A missing value counts as the mean."""
        numbers = squeezed(values)
        missing = np.isnan(numbers)
        standard = np.where(missing, 0.0, (numbers - self.mean) / self.scale)
        bends = [np.maximum(standard - knot, 0.0) for knot in KNOTS]
        return np.column_stack((standard, *bends, numbers == 0.0, missing)).astype(np.float64)

    @property
    def labels(self) -> list[str]:
        bends = [f"{self.name} above {knot:+} deviations" for knot in KNOTS]
        return [self.name, *bends, f"{self.name} is 0", f"{self.name} is missing"]


class CategoricalField(Encoded):
    """One of a few values: a column each, one for all rarer ones, one for missing."""

    type: Literal["categorical"] = "categorical"
    levels: tuple[str, ...]

    def columns(self, values: Column) -> Floats:
        """Return one column per level, then `other`, then missing."""
        place = {level: number for number, level in enumerate(self.levels)}
        other, missing = len(place), len(place) + 1
        chosen = [
            missing if level is None else place.get(level, other) for level in (level_of(v) for v in values)
        ]
        cells = np.zeros((len(chosen), len(place) + 2))
        cells[np.arange(len(chosen)), chosen] = 1.0
        return cells

    @property
    def labels(self) -> list[str]:
        return [f"{self.name} = {level}" for level in (*self.levels, "(other)", "(missing)")]


AnyField = Annotated[NumericField | CategoricalField, Field(discriminator="type")]


def learn_fields(columns: Mapping[str, Column]) -> list[NumericField | CategoricalField]:
    """Return how to encode each field that can tell leads apart, in order of name."""
    learned = (learn_field(name, columns[name]) for name in sorted(columns))
    return [field for field in learned if field is not None][:MOST_FIELDS]


def learn_field(name: str, values: Column) -> NumericField | CategoricalField | None:
    """Return how to encode a field, or None where it is nearly constant or different in every lead."""
    numbers = squeezed(values)
    known = numbers[~np.isnan(numbers)]
    present = sum(level_of(value) is not None for value in values)
    if len(known) and len(known) >= NUMERIC_SHARE * present:
        if known.min() == known.max():
            return None
        return NumericField(name=name, mean=float(known.mean()), scale=float(known.std()))
    counts = Counter(level for level in map(level_of, values) if level is not None)
    levels = [level for level, count in counts.most_common(MOST_LEVELS) if count >= RAREST_LEVEL]
    tells_apart = len(levels) > 1 or (levels and counts[levels[0]] <= len(values) - RAREST_LEVEL)
    return CategoricalField(name=name, levels=tuple(sorted(levels))) if tells_apart else None


def encode(
    fields: Sequence[NumericField | CategoricalField], columns: Mapping[str, Column], leads: int
) -> Floats:
    """Return the matrix of the leads, one row each."""
    empty: Column = [None] * leads
    parts = [field.columns(columns.get(field.name, empty)) for field in fields]
    return np.concatenate(parts, axis=1) if parts else np.zeros((leads, 0))


def squeezed(values: Column) -> Floats:
    """Return sign(x) * log(1 + |x|) of each number; NaN for what is none."""
    numbers = np.array([_number(value) for value in values], dtype=np.float64)
    return np.asarray(np.sign(numbers) * np.log1p(np.abs(numbers)))


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return float("nan")
    try:
        number = float(value)
    except ValueError:
        return float("nan")
    return number if np.isfinite(number) else float("nan")


def level_of(value: Any) -> str | None:
    """Return what a value is compared as; None for a missing one."""
    level = plain(value)
    if level is None or level == "":
        return None
    return str(level)[:200]

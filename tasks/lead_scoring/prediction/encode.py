"""Turn the fields of leads into columns of numbers, by rules learned from the training leads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tasks.lead_scoring.engagement import Floats, Integers
from tasks.lead_scoring.fit import Column, plain

NUMERIC_SHARE = 0.95
"""A field is numeric when this share of its values are numbers."""
RAREST_LEVEL = 10
MOST_LEVELS = 30
MOST_FIELDS = 100

KNOTS = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
"""Where a number's effect may bend, in standard deviations. Source: linear splines (Hastie et al., 5.2)."""


@dataclass(frozen=True, slots=True)
class Values:
    """One field of many leads, read once: as numbers, and as levels by their place among the names."""

    numbers: Floats
    """NaN for what is no number."""
    codes: Integers
    """-1 for what is missing."""
    names: tuple[str, ...]

    @classmethod
    def of(cls, column: Column) -> Self:
        """Read a column; each distinct value is looked at once."""
        places: dict[tuple[type, Any], int] = {}
        which = [places.setdefault(_key(value), len(places)) for value in column]
        distinct = [value for _, value in places]
        levels = [level_of(value) for value in distinct]
        names = tuple(dict.fromkeys(level for level in levels if level is not None))
        code_of = {name: code for code, name in enumerate(names)}
        codes = np.array([-1 if level is None else code_of[level] for level in levels], dtype=np.int64)
        numbers = np.array([_number(value) for value in distinct], dtype=np.float64)
        rows = np.array(which, dtype=np.int64)
        return cls(numbers[rows], codes[rows], names)

    def of_rows(self, rows: Integers) -> "Values":
        """Return the field of some of the leads."""
        return Values(self.numbers[rows], self.codes[rows], self.names)

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def squeezed(self) -> Floats:
        """Return sign(x) * log(1 + |x|) of each number."""
        return np.asarray(np.sign(self.numbers) * np.log1p(np.abs(self.numbers)))


class Encoded(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str


class NumericField(Encoded):
    """A number: log(1 + |x|) with its sign, standardised, bent at fixed knots; whether it is 0 or missing."""

    type: Literal["numeric"] = "numeric"
    mean: float
    scale: float

    def columns(self, values: Values) -> Floats:
        """Return the columns of the field. A missing value counts as the mean."""
        numbers = values.squeezed
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

    def columns(self, values: Values) -> Floats:
        """Return one column per level, then `other`, then missing."""
        place = {level: number for number, level in enumerate(self.levels)}
        other, missing = len(place), len(place) + 1
        # The last one is found by -1, the code of what is missing.
        column_of = np.array([*(place.get(name, other) for name in values.names), missing])
        cells = np.zeros((len(values), len(place) + 2))
        cells[np.arange(len(values)), column_of[values.codes]] = 1.0
        return cells

    @property
    def labels(self) -> list[str]:
        return [f"{self.name} = {level}" for level in (*self.levels, "(other)", "(missing)")]


AnyField = Annotated[NumericField | CategoricalField, Field(discriminator="type")]


def learn_fields(columns: Mapping[str, Values]) -> list[NumericField | CategoricalField]:
    """Return how to encode each field that can tell leads apart, in order of name."""
    learned = (learn_field(name, columns[name]) for name in sorted(columns))
    return [field for field in learned if field is not None][:MOST_FIELDS]


def learn_field(name: str, values: Values) -> NumericField | CategoricalField | None:
    """Return how to encode a field, or None where it is nearly constant or different in every lead."""
    present = int((values.codes >= 0).sum())
    numbers = values.squeezed
    known = numbers[~np.isnan(numbers)]
    if len(known) and len(known) >= NUMERIC_SHARE * present:
        if known.min() == known.max():
            return None
        return NumericField(name=name, mean=float(known.mean()), scale=float(known.std()))
    counts = np.bincount(values.codes[values.codes >= 0], minlength=len(values.names))
    frequent = [
        code for code in np.argsort(-counts, kind="stable")[:MOST_LEVELS] if counts[code] >= RAREST_LEVEL
    ]
    levels = tuple(sorted(values.names[code] for code in frequent))
    tells_apart = len(levels) > 1 or (levels and counts.max() <= len(values) - RAREST_LEVEL)
    return CategoricalField(name=name, levels=levels) if tells_apart else None


def encode(
    fields: Sequence[NumericField | CategoricalField], columns: Mapping[str, Values], leads: int
) -> Floats:
    """Return the matrix of the leads, one row each."""
    empty = Values(np.full(leads, np.nan), np.full(leads, -1, dtype=np.int64), ())
    parts = [field.columns(columns.get(field.name, empty)) for field in fields]
    return np.concatenate(parts, axis=1) if parts else np.zeros((leads, 0))


def _key(value: Any) -> tuple[type, Any]:
    """Return what equal values share: True is not 1; what is neither text nor number counts as its text."""
    known = value is None or isinstance(value, str | int | float)
    return (type(value), value) if known else (str, str(value))


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

"""Fit of leads to the field rules: which rule holds for which lead, a column at a time."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.scoring_rules import FieldRule, Operator, Value

Column = Sequence[Any]
Integers = npt.NDArray[np.int64]
Holds = list[bool] | npt.NDArray[np.bool_]


def fit_points(rules: Sequence[FieldRule], columns: Mapping[str, Column], *, leads: int) -> Integers:
    """Return the points per lead (row) and rule (column). A field nobody has is absent everywhere."""
    cells = np.zeros((leads, len(rules)), dtype=np.int64)
    empty: Column = [None] * leads
    for place, rule in enumerate(rules):
        holds = _HOLDS[rule.operator](columns.get(rule.field, empty), rule.values)
        cells[:, place] = np.asarray(holds, dtype=bool) * rule.points
    return cells


def plain(value: Any) -> Any:
    """Return text without case and outer blanks, and other values as they are."""
    return value.strip().casefold() if isinstance(value, str) else value


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _number(value: Any) -> float:
    """Return a number, reading text; what is none compares false with everything."""
    try:
        return float("nan") if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return float("nan")


def _one_of(column: Column, values: Sequence[Value]) -> list[bool]:
    wanted = {_comparable(value) for value in values}
    return [
        (value.strip().casefold() if isinstance(value, str) else _comparable(value)) in wanted
        for value in column
    ]


def _comparable(value: Any) -> Any:
    """Return what *value* is compared as: True is not 1, and an unhashable value equals nothing."""
    if isinstance(value, bool):
        return (bool, value)
    return plain(value) if isinstance(value, str | int | float) else object()


def _is_not(column: Column, values: Sequence[Value]) -> list[bool]:
    """Hold where something is said, and something else."""
    equal = _one_of(column, values)
    return [not same and not _missing(value) for same, value in zip(equal, column, strict=True)]


def _contains(column: Column, values: Sequence[Value]) -> npt.NDArray[np.bool_]:
    texts = [value.casefold().strip() if isinstance(value, str) else "" for value in column]
    holds = np.zeros(len(texts), dtype=bool)
    for value in values:
        part = str(plain(value))
        holds |= np.fromiter([part in text for text in texts], dtype=bool, count=len(texts))
    return holds


def _present(column: Column, _: Sequence[Value]) -> list[bool]:
    return [not _missing(value) for value in column]


def _absent(column: Column, _: Sequence[Value]) -> list[bool]:
    return [_missing(value) for value in column]


def _at_least(column: Column, values: Sequence[Value]) -> list[bool]:
    least = _number(values[0])
    return [_number(value) >= least for value in column]


def _at_most(column: Column, values: Sequence[Value]) -> list[bool]:
    most = _number(values[0])
    return [_number(value) <= most for value in column]


_HOLDS: Mapping[Operator, Callable[[Column, Sequence[Value]], Holds]] = {
    Operator.IS: _one_of,
    Operator.IS_NOT: _is_not,
    Operator.ONE_OF: _one_of,
    Operator.CONTAINS: _contains,
    Operator.PRESENT: _present,
    Operator.ABSENT: _absent,
    Operator.AT_LEAST: _at_least,
    Operator.AT_MOST: _at_most,
}

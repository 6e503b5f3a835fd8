"""Evaluate what our alerts ask of Prometheus, on scrapes that a test made; no more of PromQL than that."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import promql_parser as promql

from tests.integration.observability.exposition import Sample

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Scrape = tuple[float, Sequence[Sample]]
"""A moment, in seconds, and what was exposed then."""

ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "/": lambda a, b: a / b if b else float("nan"),
    "*": lambda a, b: a * b,
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
}
COMPARISON: dict[str, Callable[[float, float], bool]] = {
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    "==": lambda a, b: a == b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
}
TOGETHER: dict[str, Callable[[list[float]], float]] = {"sum": sum, "max": max, "min": min}


def evaluate(expression: str, scrapes: Sequence[Scrape]) -> Vector:
    """Return the series for which *expression* holds after the last of *scrapes*."""
    return _vector(promql.parse(expression), scrapes)


def selectors(expression: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each metric that *expression* names, with the labels it looks for."""
    yield from _selectors(promql.parse(expression))


def _selectors(part: Any) -> Iterator[tuple[str, dict[str, str]]]:
    match part:
        case promql.VectorSelector():
            yield part.name, {one.name: one.value for one in part.matchers.matchers}
        case promql.MatrixSelector():
            yield from _selectors(part.vector_selector)
        case promql.BinaryExpr():
            yield from _selectors(part.lhs)
            yield from _selectors(part.rhs)
        case promql.AggregateExpr() | promql.ParenExpr():
            yield from _selectors(part.expr)
        case promql.Call():
            for argument in part.args:
                yield from _selectors(argument)


def _vector(part: Any, scrapes: Sequence[Scrape]) -> Vector:
    match part:
        case promql.NumberLiteral():
            return {frozenset(): part.val}
        case promql.ParenExpr():
            return _vector(part.expr, scrapes)
        case promql.VectorSelector():
            return _select(part, scrapes[-1][1])
        case promql.AggregateExpr():
            return _aggregate(part, _vector(part.expr, scrapes))
        case promql.BinaryExpr():
            return _combine(part, _vector(part.lhs, scrapes), _vector(part.rhs, scrapes))
        case promql.Call():
            return _call(part, scrapes)
        case _:
            raise NotImplementedError(part.prettify())


def _select(part: Any, samples: Sequence[Sample]) -> Vector:
    return {
        sample.labels: sample.value
        for sample in samples
        if sample.name == part.name and all(_fits(one, sample) for one in part.matchers.matchers)
    }


def _fits(matcher: Any, sample: Sample) -> bool:
    value = sample.label(matcher.name)
    match matcher.op:
        case promql.MatchOp.Equal:
            return bool(value == matcher.value)
        case promql.MatchOp.NotEqual:
            return bool(value != matcher.value)
        case promql.MatchOp.Re:
            return re.fullmatch(matcher.value, value) is not None
        case _:
            return re.fullmatch(matcher.value, value) is None


def _aggregate(part: Any, vector: Vector) -> Vector:
    wanted = set(part.modifier.labels) if part.modifier else set()
    groups: dict[Labels, list[float]] = defaultdict(list)
    for labels, value in vector.items():
        groups[frozenset(pair for pair in labels if pair[0] in wanted)].append(value)
    return {labels: TOGETHER[str(part.op)](values) for labels, values in groups.items()}


def _combine(part: Any, left: Vector, right: Vector) -> Vector:
    match operator := str(part.op):
        case "and":
            return {labels: value for labels, value in left.items() if labels in right}
        case "unless":
            return {labels: value for labels, value in left.items() if labels not in right}
        case "or":
            return right | left
    only = next(iter(right.values())) if isinstance(part.rhs, promql.NumberLiteral) else None
    paired = {
        labels: (value, right[labels] if only is None else only)
        for labels, value in left.items()
        if only is not None or labels in right
    }
    if operator in COMPARISON:
        return {labels: a for labels, (a, b) in paired.items() if COMPARISON[operator](a, b)}
    return {labels: ARITHMETIC[operator](a, b) for labels, (a, b) in paired.items()}


def _call(part: Any, scrapes: Sequence[Scrape]) -> Vector:
    match part.func.name:
        case "increase" | "rate" as name:
            return _growth(part.args[0], scrapes, per_second=name == "rate")
        case "absent":
            return {} if _vector(part.args[0], scrapes) else {frozenset(): 1.0}
        case "histogram_quantile":
            return _quantile(part.args[0].val, _vector(part.args[1], scrapes))
        case name:
            raise NotImplementedError(name)


def _growth(part: Any, scrapes: Sequence[Scrape], *, per_second: bool) -> Vector:
    """Tell how much counters grew; a series that was not there before has not grown, as in Prometheus."""
    since = scrapes[-1][0] - part.range.total_seconds()
    first_at, first = next(scrape for scrape in scrapes if scrape[0] >= since)
    before, after = _select(part.vector_selector, first), _select(part.vector_selector, scrapes[-1][1])
    span = (scrapes[-1][0] - first_at) or 1.0
    return {
        labels: (value - before[labels]) / (span if per_second else 1.0)
        for labels, value in after.items()
        if labels in before
    }


def _quantile(wanted: float, buckets: Vector) -> Vector:
    """Return the upper edge of the bucket that holds the quantile."""
    groups: dict[Labels, list[tuple[float, float]]] = defaultdict(list)
    for labels, count in buckets.items():
        edge = float(dict(labels)["le"])
        groups[frozenset(pair for pair in labels if pair[0] != "le")].append((edge, count))
    found = {}
    for labels, edges in groups.items():
        total = max(count for _, count in edges)
        found[labels] = min((edge for edge, count in edges if count >= wanted * total), default=float("nan"))
    return found

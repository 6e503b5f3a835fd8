"""What a message tells beside its pointer is not signed: whatever stands there harms nobody."""

from typing import Any

import pytest

from worker.ending import Ending
from worker.metrics import ended
from worker.origin import HEADER, NOWHERE, Origin


def test_what_was_told_is_read() -> None:
    told = Origin("starter", 1.5, "request", "00-1-2-01")
    assert Origin.of({HEADER: list(told)}) == told


@pytest.mark.parametrize(
    "told",
    [
        None,
        "starter",
        [],
        ["starter", 1.5, "request"],
        [["starter"], 1.5, None, None],
        ["starter", "now", None, None],
        ["starter", 1.5, {"a": 1}, None],
        ["starter", 1.5, None, 7],
    ],
)
def test_what_makes_no_sense_is_not_known(told: Any) -> None:
    assert Origin.of({HEADER: told}) == NOWHERE


def test_a_plan_that_somebody_made_up_adds_no_series() -> None:
    told = [
        ended.series("leads.score", "no-lane", plan, Ending.SUCCEEDED) for plan in ("made-up", "another", "x")
    ]
    assert told[0] == told[1] == told[2]

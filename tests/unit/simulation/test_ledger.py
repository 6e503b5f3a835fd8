from dataclasses import replace

import numpy as np
import pytest

from config.plans import ENTERPRISE, STARTER, Plan
from ops.simulation.ledger import Ledger, fill


def divided(amount: float, limits: list[float], weights: list[float]) -> list[float]:
    return [round(float(part), 9) for part in fill(amount, np.array(limits), np.array(weights))]


def test_slots_are_divided_by_weight() -> None:
    assert divided(8, [100, 100, 100], [1, 2, 5]) == [1, 2, 5]


def test_nobody_gets_more_than_it_wants_and_the_rest_is_divided_again() -> None:
    assert divided(8, [1, 100, 100], [5, 1, 1]) == [1, 3.5, 3.5]


def test_slots_that_nobody_wants_stay_empty() -> None:
    assert divided(8, [1, 0, 3], [1, 1, 1]) == [1, 0, 3]
    assert divided(0, [1, 2], [1, 1]) == [0, 0]


def plain(weight: int, *, cap: int = 100, soft_cap: int | None = None) -> Plan:
    return replace(ENTERPRISE, weight=weight, cap=cap, soft_cap=soft_cap)


def entitled(terms: dict[str, Plan], jobs: dict[str, int], *, slots: int) -> list[float]:
    """Let each organization have jobs for a hundred microseconds."""
    ledger = Ledger(terms, slots)
    for name, count in jobs.items():
        for _ in range(count):
            ledger.arrive(name, "scoring")
    ledger.advance(100)
    return [round(ledger.account(name).entitled / 100, 6) for name in terms]


def test_a_weight_entitles_only_while_there_is_work() -> None:
    terms = {"a": plain(1), "b": plain(3)}
    assert entitled(terms, {"a": 50, "b": 50}, slots=8) == [2, 6]
    assert entitled(terms, {"a": 50, "b": 1}, slots=8) == [7, 1]
    assert entitled(terms, {"a": 50}, slots=8) == [8, 0]


def test_a_cap_holds_and_a_soft_cap_lends_what_is_left() -> None:
    assert entitled({"a": plain(9, cap=2), "b": plain(1)}, {"a": 50, "b": 50}, slots=8) == [2, 6]
    lent = {"a": plain(1, cap=2, soft_cap=3), "b": plain(1, cap=2, soft_cap=50)}
    assert entitled(lent, {"a": 50, "b": 50}, slots=8) == [3, 5]


def test_caps_count_for_each_lane() -> None:
    ledger = Ledger({"a": STARTER}, 100)
    for lane in ("scoring", "social"):
        for _ in range(50):
            ledger.arrive("a", lane)
    ledger.advance(10)
    assert ledger.account("a").entitled == 10 * 2 * (STARTER.soft_cap or 0)


def test_what_was_got_counts_while_there_was_work() -> None:
    ledger = Ledger({"a": plain(1)}, 4)
    ledger.arrive("a", "x")
    ledger.advance(10)
    ledger.begin("a", 10)
    ledger.advance(30)
    ledger.end("a", "x", 20)
    ledger.advance(1_000)

    account = ledger.account("a")
    assert (account.waits, account.used, account.never_ran) == ([10], 20, 0)
    assert (account.busy, account.got, account.entitled) == (30, 20, 30)


@pytest.mark.parametrize("slots", [1, 3, 8])
def test_all_that_can_be_used_is_given(slots: int) -> None:
    terms = {name: plain(weight) for name, weight in (("a", 1), ("b", 2), ("c", 7))}
    assert sum(entitled(terms, {"a": 2, "b": 30, "c": 1}, slots=slots)) == pytest.approx(slots)

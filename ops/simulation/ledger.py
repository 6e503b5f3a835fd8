"""Keeps account of who waited how long, and of worker time got and entitled to."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.plans import Plan

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Account:
    """One organization; times in microseconds."""

    waits: list[int]
    """Of each job that began."""
    never_ran: int
    used: int
    """Worker time of the jobs that ended."""
    busy: float
    """Time during which it had jobs waiting or running."""
    got: float
    """Worker time meanwhile."""
    entitled: float
    """Worker time that perfect fairness would have given it meanwhile."""


class Ledger:
    """Follows a replay event by event.

    At any moment perfect fairness fills the slots by weight; nobody gets more slots than it has jobs, or than
    its caps let it. What is left beneath the caps goes by weight to those below their soft caps.
    """

    def __init__(self, terms: Mapping[str, Plan], slots: int) -> None:
        self._slots = slots
        self._now = 0
        self._index = {name: at for at, name in enumerate(terms)}
        self._caps = [each.cap for each in terms.values()]
        self._soft_caps = [max(each.cap, each.soft_cap or slots) for each in terms.values()]
        self._weights = np.array([each.weight for each in terms.values()], dtype=np.float64)
        self._present: dict[tuple[int, str], int] = defaultdict(int)
        self._below_cap, self._below_soft_cap, self._running, self._used, self._waiting = self._zeros(5)
        self._busy, self._got, self._entitled = self._zeros(3)
        self._waits: list[list[int]] = [[] for _ in self._index]
        self._rates: Numbers | None = None

    def advance(self, now: int) -> None:
        """Let time pass."""
        passed = now - self._now
        self._now = now
        if passed == 0:
            return
        if self._rates is None:
            self._rates = self._fair_rates()
        self._entitled += passed * self._rates
        self._got += passed * self._running
        self._busy += passed * (self._below_soft_cap > 0)

    def arrive(self, name: str, lane: str) -> None:
        """Count a job that begins to wait."""
        at = self._index[name]
        self._waiting[at] += 1
        self._change_present(at, lane, 1)

    def begin(self, name: str, waited: int) -> None:
        """Count a job that begins to run."""
        at = self._index[name]
        self._waiting[at] -= 1
        self._running[at] += 1
        self._waits[at].append(waited)

    def end(self, name: str, lane: str, used: int) -> None:
        """Count a job that ended."""
        at = self._index[name]
        self._running[at] -= 1
        self._used[at] += used
        self._change_present(at, lane, -1)

    def account(self, name: str) -> Account:
        """Return what an organization got so far."""
        at = self._index[name]
        return Account(
            waits=self._waits[at],
            never_ran=int(self._waiting[at]),
            used=int(self._used[at]),
            busy=float(self._busy[at]),
            got=float(self._got[at]),
            entitled=float(self._entitled[at]),
        )

    def _zeros(self, count: int) -> list[Numbers]:
        return [np.zeros(len(self._index)) for _ in range(count)]

    def _change_present(self, at: int, lane: str, by: int) -> None:
        """Change how many jobs are there, and with it how many may run at most: caps hold for each lane."""
        was = self._present[at, lane]
        self._present[at, lane] = is_now = was + by
        self._below_cap[at] += min(is_now, self._caps[at]) - min(was, self._caps[at])
        self._below_soft_cap[at] += min(is_now, self._soft_caps[at]) - min(was, self._soft_caps[at])
        self._rates = None

    def _fair_rates(self) -> Numbers:
        below_caps = fill(self._slots, self._below_cap, self._weights)
        left = self._slots - float(below_caps.sum())
        return below_caps + fill(left, self._below_soft_cap - below_caps, self._weights)


def fill(amount: float, limits: Numbers, weights: Numbers) -> Numbers:
    """Divide *amount* by weight: nobody gets more than its limit, and nothing is left that somebody wants.

    Source: max-min fairness by progressive filling (Bertsekas and Gallager, Data Networks, 6.5.2).
    """
    order = np.argsort(limits / weights, kind="stable")
    limit, weight = limits[order], weights[order]
    # Were everybody before this one satisfied, and the rest divided by weight: the level of each.
    left = amount - (np.cumsum(limit) - limit)
    level = left / (weight.sum() - (np.cumsum(weight) - weight))
    unsatisfied = np.flatnonzero(limit > level * weight)
    if unsatisfied.size == 0:
        return limits.copy()
    return np.minimum(limits, weights * max(float(level[unsatisfied[0]]), 0.0))

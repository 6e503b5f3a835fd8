"""What a replay showed, organization by organization."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

from config.plans import Plan
from ops.simulation.ledger import Account, Ledger
from ops.simulation.replay import Replay
from ops.simulation.scratch import Scratch
from ops.simulation.workload import Workload

US_PER_SECOND = 1_000_000
MEDIAN, ALMOST_ALL = 0.5, 0.99


@dataclass(frozen=True, slots=True)
class Outcome:
    """One organization under some terms."""

    weight: int
    cap: int
    soft_cap: int | None
    jobs: int
    """That ran."""
    never_ran: int
    wait_p50_s: float
    wait_p99_s: float
    wait_max_s: float
    worker_time_s: float
    busy_s: float
    """How long it had jobs waiting or running; got and entitled count this time only."""
    got_s: float
    entitled_s: float
    got_share: float
    """Of all slots."""
    entitled_share: float


@dataclass(frozen=True, slots=True)
class Simulation:
    """A workload under the terms of today and, if there are others to try, under those."""

    slots: int
    jobs: int
    lasted_s: Mapping[str, float]
    organizations: Mapping[str, Mapping[str, Outcome]]
    """Organization, then `before` and perhaps `after`."""

    def document(self) -> dict[str, Any]:
        """Return everything as JSON holds it."""
        return asdict(self)


def simulate(
    scratch: Scratch, workload: Workload, others: Mapping[str, Plan] | None, *, slots: int
) -> Simulation:
    """Replay *workload* under its own terms, and under *others* when there are any."""
    lasted: dict[str, float] = {}
    outcomes: dict[str, dict[str, Outcome]] = {name: {} for name in sorted(workload.terms)}
    for label, terms in (("before", workload.terms), ("after", others)):
        if terms is not None:
            replay = Replay(scratch.client, f"{scratch.prefix}{label}:", workload, terms, slots=slots)
            ledger = replay.run()
            lasted[label] = replay.lasted_us / US_PER_SECOND
            for name, outcome in _outcomes(ledger, terms, slots).items():
                outcomes[name][label] = outcome
    return Simulation(slots, len(workload.arrivals), lasted, outcomes)


def _outcomes(ledger: Ledger, terms: Mapping[str, Plan], slots: int) -> dict[str, Outcome]:
    return {name: _outcome(ledger.account(name), each, slots) for name, each in terms.items()}


def _outcome(account: Account, terms: Plan, slots: int) -> Outcome:
    waits = sorted(account.waits)
    capacity = account.busy * slots
    return Outcome(
        weight=terms.weight,
        cap=terms.cap,
        soft_cap=terms.soft_cap,
        jobs=len(waits),
        never_ran=account.never_ran,
        wait_p50_s=_quantile(waits, MEDIAN),
        wait_p99_s=_quantile(waits, ALMOST_ALL),
        wait_max_s=_quantile(waits, 1),
        worker_time_s=account.used / US_PER_SECOND,
        busy_s=account.busy / US_PER_SECOND,
        got_s=account.got / US_PER_SECOND,
        entitled_s=round(account.entitled / US_PER_SECOND, 6),
        got_share=round(account.got / capacity, 6) if capacity else 0.0,
        entitled_share=round(account.entitled / capacity, 6) if capacity else 0.0,
    )


def _quantile(ordered: Sequence[int], part: float) -> float:
    return ordered[ceil(part * len(ordered)) - 1] / US_PER_SECOND if ordered else 0.0

"""What a quota period should say, given its ledger and its holds."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

ALERT_PERCENTS = (80, 100)


@dataclass(frozen=True, slots=True)
class PeriodState:
    """What a period says of itself."""

    meter: str
    start: datetime
    end: datetime
    amount: int | None
    """None is unlimited."""
    used: int
    reserved: int
    carried: int
    """Part of what is used: it stands in the ledger of the period that this one took the place of."""
    alerted_percent: int


@dataclass(frozen=True, slots=True)
class Finding:
    """A period as it said, and as it should."""

    period: PeriodState
    used: int
    """Sum of the ledger, and what was carried."""
    reserved: int
    """Sum of what is held."""
    closed: bool
    """The period has ended and nothing can be added to it any more."""

    @property
    def used_drift(self) -> int:
        return self.used - self.period.used

    @property
    def reserved_drift(self) -> int:
        return self.reserved - self.period.reserved

    @property
    def drift(self) -> int:
        """By how much the period was wrong."""
        return abs(self.used_drift) + abs(self.reserved_drift)

    def as_json(self) -> dict[str, Any]:
        """Return what the tenant is shown."""
        shown: dict[str, Any] = {
            "meter": self.period.meter,
            "period_start": self.period.start.isoformat(),
            "period_end": self.period.end.isoformat(),
            "limit": self.period.amount,
            "used": self.used,
            "reserved": self.reserved,
            "closed": self.closed,
        }
        if self.drift:
            shown["drift"] = {"used": self.used_drift, "reserved": self.reserved_drift}
        if self.period.alerted_percent:
            shown["alert_percent"] = self.period.alerted_percent
        return shown


def examine(period: PeriodState, *, ledger: int, held: int, now: datetime) -> Finding:
    """Compare a period with the sum of its ledger and of its holds."""
    return Finding(
        period=period,
        used=ledger + period.carried,
        reserved=held,
        closed=period.end <= now and held == 0,
    )


def reached(used: int, amount: int) -> int | None:
    """Return the highest threshold of a limit that *used* has reached."""
    percents = [percent for percent in ALERT_PERCENTS if used > 0 and used * 100 >= percent * amount]
    return max(percents, default=None)

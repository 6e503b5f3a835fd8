"""What a quota period should say, given its ledger and its holds; which alerts that raises."""

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
    alerted_percent: int


@dataclass(frozen=True, slots=True)
class Finding:
    """A period as it said, and as it should."""

    period: PeriodState
    used: int
    """Sum of the ledger."""
    reserved: int
    """Sum of what jobs hold."""
    alert: int | None
    """Threshold that use has reached and no alert was raised for yet."""
    closed: bool
    """The period has ended and nothing can be added to it any more."""

    @property
    def used_drift(self) -> int:
        return self.used - self.period.used

    @property
    def reserved_drift(self) -> int:
        return self.reserved - self.period.reserved

    @property
    def alerted_percent(self) -> int:
        """Return the highest threshold that is alerted for from now on."""
        return self.period.alerted_percent if self.alert is None else self.alert

    @property
    def changes(self) -> bool:
        """Tell whether the period's row has to be written."""
        return bool(self.used_drift or self.reserved_drift or self.alert)

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
        if self.used_drift or self.reserved_drift:
            shown["drift"] = {"used": self.used_drift, "reserved": self.reserved_drift}
        if self.alert is not None:
            shown["alert_percent"] = self.alert
        return shown


def examine(period: PeriodState, *, ledger: int, held: int, now: datetime) -> Finding:
    """Compare a period with the sum of its ledger and of its holds."""
    return Finding(
        period=period,
        used=ledger,
        reserved=held,
        alert=due_alert(ledger, period.amount, alerted=period.alerted_percent),
        closed=period.end <= now and held == 0,
    )


def due_alert(used: int, amount: int | None, *, alerted: int) -> int | None:
    """Return the highest threshold that *used* has reached, unless it or a higher one was alerted for."""
    if amount is None:
        return None
    reached = [percent for percent in ALERT_PERCENTS if used > 0 and used * 100 >= percent * amount]
    highest = max(reached, default=0)
    return highest if highest > alerted else None

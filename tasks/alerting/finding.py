"""What is wrong right now, by rules over plain figures; nothing here reads or writes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from statistics import median
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from models.alert import AlertCondition, Severity

QUOTA_PERCENTS = (80, 100)
FAILED_POSTS = 3
"""So many refused posts in a row make an account a failing one."""

CADENCE_SHARE = 0.5
CADENCE_WEEKS = 4
LEAST_CADENCE = 2
"""Posts a week: who posts less has no cadence that could fall."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A condition that holds."""

    condition: AlertCondition
    subject: str
    period_start: datetime
    """Within the period that begins here it is told once."""
    severity: Severity
    title: str
    evidence: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class QuotaUse:
    meter: str
    period_start: datetime
    used: int
    amount: int


@dataclass(frozen=True, slots=True)
class AccountState:
    id: UUID
    handle: str
    platform: str
    status: str
    detail: str | None
    refused: int
    """Posts refused since the last that got through."""
    weeks: Sequence[int]
    """Posts published in each of the last weeks of seven days, oldest first, the current one last."""


@dataclass(frozen=True, slots=True)
class DeadLetters:
    kind: str
    count: int


def quota_findings(uses: Iterable[QuotaUse]) -> list[Finding]:
    """Find meters at 80 % and at 100 % of their limit."""
    return [
        Finding(
            AlertCondition.QUOTA,
            f"{use.meter}/{percent}",
            use.period_start,
            Severity.CRITICAL if percent >= max(QUOTA_PERCENTS) else Severity.WARNING,
            f"{use.meter} has reached {percent} % of its limit",
            (_evidence(use.meter, use.used, ">=", -(-use.amount * percent // 100), limit=use.amount),),
        )
        for use in uses
        for percent in QUOTA_PERCENTS
        if use.used > 0 and use.used * 100 >= percent * use.amount
    ]


def account_findings(accounts: Iterable[AccountState], now: datetime, time_zone: str) -> list[Finding]:
    """Find accounts that are out of use, or refuse one post after the other."""
    found = []
    for account in accounts:
        evidence = []
        if account.status != "active":
            evidence.append(
                _evidence("account.status", account.status, "!=", "active", detail=account.detail)
            )
        if account.refused >= FAILED_POSTS:
            evidence.append(_evidence("refused_posts", account.refused, ">=", FAILED_POSTS))
        if evidence:
            title = f"{account.platform} account {account.handle} cannot post"
            start = midnight(now, time_zone)
            found.append(
                Finding(
                    AlertCondition.ACCOUNT,
                    str(account.id),
                    start,
                    Severity.CRITICAL,
                    title,
                    tuple(evidence),
                )
            )
    return found


def dead_letter_findings(letters: Iterable[DeadLetters], now: datetime, time_zone: str) -> list[Finding]:
    """Find kinds whose jobs died and wait for a person."""
    return [
        Finding(
            AlertCondition.DEAD_LETTERS,
            letter.kind,
            midnight(now, time_zone),
            Severity.WARNING,
            f"{letter.count} job{'s' if letter.count > 1 else ''} of {letter.kind} failed for good",
            (_evidence("dead_letters", letter.count, ">=", 1),),
        )
        for letter in letters
        if letter.count > 0
    ]


def cadence_findings(accounts: Iterable[AccountState], now: datetime, time_zone: str) -> list[Finding]:
    """Find accounts that posted less than half as often in the last seven days as in the weeks before."""
    found = []
    for account in accounts:
        *before, latest = account.weeks
        usual = median(before) if len(before) >= CADENCE_WEEKS else 0
        if account.status != "active" or usual < LEAST_CADENCE or latest >= CADENCE_SHARE * usual:
            continue
        found.append(
            Finding(
                AlertCondition.CADENCE,
                str(account.id),
                _monday(now, time_zone),
                Severity.WARNING,
                f"{account.platform} account {account.handle} posts less than half as often as usual",
                (_evidence("posts_in_seven_days", latest, "<", CADENCE_SHARE * usual, usual=usual),),
            )
        )
    return found


def _evidence(metric: str, value: Any, comparison: str, threshold: Any, **more: Any) -> dict[str, Any]:
    return {"metric": metric, "value": value, "comparison": comparison, "threshold": threshold} | more


def midnight(now: datetime, time_zone: str) -> datetime:
    """Return when the organization's day began."""
    zone = ZoneInfo(time_zone)
    return datetime.combine(now.astimezone(zone).date(), time.min, zone).astimezone(UTC)


def _monday(now: datetime, time_zone: str) -> datetime:
    zone = ZoneInfo(time_zone)
    today = now.astimezone(zone).date()
    return datetime.combine(today - timedelta(days=today.weekday()), time.min, zone).astimezone(UTC)

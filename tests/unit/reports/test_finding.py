"""The rules of alerts, over plain figures."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from models.alert import Severity
from tasks.alerting.finding import (
    AccountState,
    DeadLetters,
    QuotaUse,
    account_findings,
    cadence_findings,
    dead_letter_findings,
    quota_findings,
)

NOW = datetime(2026, 10, 1, 22, 30, tzinfo=UTC)
"""Already the second of October in Berlin."""
BERLIN = "Europe/Berlin"
START = datetime(2026, 9, 15, tzinfo=UTC)


def account(**changes: Any) -> AccountState:
    usual: dict[str, Any] = {
        "id": UUID(int=1),
        "handle": "acme",
        "platform": "bluesky",
        "status": "active",
        "detail": None,
        "refused": 0,
        "weeks": (6, 6, 6, 6, 6),
    }
    return AccountState(**usual | changes)


@pytest.mark.parametrize(
    ("used", "amount", "subjects"),
    [
        (79, 100, []),
        (80, 100, ["posts_month/80"]),
        (99, 100, ["posts_month/80"]),
        (100, 100, ["posts_month/80", "posts_month/100"]),
        (105, 100, ["posts_month/80", "posts_month/100"]),
        (2, 3, []),
        (0, 0, []),
    ],
)
def test_quota_is_told_at_eighty_and_a_hundred_percent(used: int, amount: int, subjects: list[str]) -> None:
    found = quota_findings([QuotaUse("posts_month", START, used, amount)])
    assert [one.subject for one in found] == subjects
    assert all(one.period_start == START for one in found)
    assert all(one.evidence[0]["value"] >= one.evidence[0]["threshold"] for one in found)


@pytest.mark.parametrize(
    ("changes", "metrics"),
    [
        ({}, None),
        ({"refused": 2}, None),
        ({"status": "needs_reauth"}, ["account.status"]),
        ({"refused": 3}, ["refused_posts"]),
        ({"status": "paused", "refused": 4}, ["account.status", "refused_posts"]),
    ],
)
def test_an_account_fails_by_its_status_or_by_three_refusals(
    changes: dict[str, Any], metrics: list[str] | None
) -> None:
    found = account_findings([account(**changes)], NOW, BERLIN)
    assert [[part["metric"] for part in one.evidence] for one in found] == ([metrics] if metrics else [])
    for one in found:
        assert (one.severity, one.period_start) == (
            Severity.CRITICAL,
            datetime(2026, 10, 1, 22, tzinfo=UTC),
        )


@pytest.mark.parametrize(
    ("changes", "falls"),
    [
        ({}, False),
        ({"weeks": (6, 6, 6, 6, 3)}, False),
        ({"weeks": (6, 6, 6, 6, 2)}, True),
        ({"weeks": (6, 0, 6, 6, 0)}, True),
        ({"weeks": (1, 1, 1, 1, 0)}, False),
        ({"weeks": (6, 6, 6, 6, 0), "status": "paused"}, False),
    ],
)
def test_cadence_falls_below_half_of_the_usual_week(changes: dict[str, Any], falls: bool) -> None:  # noqa: FBT001 - a parameter of the test
    found = cadence_findings([account(**changes)], NOW, BERLIN)
    assert bool(found) == falls
    assert all(one.period_start == datetime(2026, 9, 27, 22, tzinfo=UTC) for one in found)


def test_dead_letters_are_told_by_kind() -> None:
    letters = [DeadLetters("leads.score", 2), DeadLetters("social.publish_post", 0)]
    [found] = dead_letter_findings(letters, NOW, BERLIN)
    assert (found.subject, found.title) == ("leads.score", "2 jobs of leads.score failed for good")

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from worker.backlog import LATEST_RETRY, SOONEST_RETRY, estimate_room
from worker.fairshare.standing import Standing

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def standing(**known: Any) -> Standing:
    nothing: dict[str, Any] = {
        "lane": "scoring",
        "known": True,
        "weight": 1.0,
        "waiting": 0,
        "delayed": 0,
        "set_aside": 0,
        "in_flight": 0,
        "oldest": None,
        "first_due": None,
        "used": timedelta(0),
        "average_run": None,
        "paused": False,
        "paused_kinds": frozenset(),
        "place": "",
    }
    return Standing(**nothing | known)


def seconds(over: int, **known: Any) -> float:
    return estimate_room(standing(**known), over, at=NOW).total_seconds()


def test_room_comes_at_the_pace_of_the_jobs_in_flight() -> None:
    run = timedelta(seconds=3)
    assert seconds(20, waiting=500, in_flight=2, average_run=run) == 30
    assert seconds(20, waiting=500, in_flight=6, average_run=run) == 10
    assert seconds(20, waiting=500, in_flight=0, average_run=run) == 60


def test_a_kind_that_never_ran_is_guessed() -> None:
    assert seconds(100, waiting=500, in_flight=1) == 10


def test_delayed_jobs_make_room_no_earlier_than_they_come_due() -> None:
    due = NOW + timedelta(seconds=90)
    assert seconds(5, delayed=10, first_due=due) == 90
    assert seconds(5, waiting=3, delayed=10, first_due=due, average_run=timedelta(seconds=40)) == 120


@pytest.mark.parametrize(
    "paused", [{"waiting": 10, "paused": True}, {"set_aside": 10, "paused_kinds": frozenset({"a.b"})}]
)
def test_what_is_paused_makes_no_room(paused: dict[str, Any]) -> None:
    assert estimate_room(standing(**paused), 1, at=NOW) == LATEST_RETRY


@pytest.mark.parametrize(("over", "bound"), [(1, SOONEST_RETRY), (1_000_000, LATEST_RETRY)])
def test_the_estimate_is_bounded(over: int, bound: timedelta) -> None:
    assert estimate_room(standing(waiting=1_000_000, in_flight=1), over, at=NOW) == bound

"""Rates in memory: what passes, what is told of it, and that a burst and an even pace both come out right."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from intake import gcra
from intake.gcra import HOUR_US, LocalRates, Rate, Reading

HOUR = timedelta(hours=1)
NOTHING = timedelta(0)


class Clock:
    def __init__(self) -> None:
        self.now_us = 1_000_000

    def __call__(self) -> int:
        return self.now_us


def take(rates: LocalRates, calls: int = 10, key: str = "a") -> Reading:
    (reading,) = rates.take({key: Rate(calls)})
    return reading


def test_a_burst_of_the_whole_hour_passes_and_one_more_is_told_when_to_come_back() -> None:
    rates = LocalRates(Clock())
    readings = [take(rates) for _ in range(11)]
    assert [reading.left for reading in readings] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0]
    assert [reading.wait for reading in readings] == [NOTHING] * 10 + [HOUR / 10]
    assert readings[9].full_after == HOUR


def test_what_was_waited_for_passes_and_not_a_moment_before() -> None:
    clock = Clock()
    rates = LocalRates(clock)
    for _ in range(10):
        take(rates)
    clock.now_us += HOUR_US // 10 - 1
    assert take(rates).wait == timedelta(microseconds=1)
    clock.now_us += 1
    assert take(rates).wait == NOTHING
    assert take(rates).wait == HOUR / 10


def test_a_call_that_one_rate_refuses_takes_nothing_of_the_other() -> None:
    rates = LocalRates(Clock())
    both = {"organization": Rate(5), "user": Rate(2)}
    for _ in range(2):
        rates.take(both)
    for _ in range(3):
        organization, user = rates.take(both)
        assert (organization.left, organization.wait) == (3, NOTHING)
        assert user.wait == HOUR / 2


def test_a_limit_of_nothing_lets_nothing_pass() -> None:
    assert take(LocalRates(Clock()), calls=0).wait > NOTHING


def test_a_smaller_limit_holds_at_once_for_what_was_called_before() -> None:
    rates = LocalRates(Clock())
    for _ in range(8):
        take(rates, calls=10)
    reading = take(rates, calls=2)
    assert reading.left == 0
    assert reading.wait == timedelta(minutes=48 + 30 - 60)


def test_only_so_many_keys_are_remembered(monkeypatch: object) -> None:
    rates = LocalRates(Clock())
    for number in range(gcra.MOST_REMEMBERED + 10):
        take(rates, key=str(number))
    assert len(rates._arrivals) == gcra.MOST_REMEMBERED  # noqa: SLF001 - nothing tells from outside


@given(
    calls=st.integers(1, 50),
    steps=st.lists(st.integers(0, HOUR_US // 5), max_size=200),
)
def test_no_hour_sees_more_than_a_burst_and_an_hours_pace(calls: int, steps: list[int]) -> None:
    clock = Clock()
    rates = LocalRates(clock)
    passed = []
    for step in steps:
        clock.now_us += step
        reading = take(rates, calls=calls)
        if reading.wait == NOTHING:
            passed.append(clock.now_us)
        else:
            clock.now_us += reading.wait // timedelta(microseconds=1)
            assert take(rates, calls=calls).wait == NOTHING, "a call passes when it was told it would"
            passed.append(clock.now_us)
    for begin in passed:
        assert sum(begin <= moment < begin + HOUR_US for moment in passed) <= 2 * calls

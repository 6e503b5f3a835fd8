"""What a period should say, without any database."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tasks.quota_accounting.reconcile import PeriodState, examine, reached

START = datetime(2026, 5, 1, tzinfo=UTC)
END = START + timedelta(days=31)
AMOUNTS = st.integers(0, 10_000)


def period(*, used: int = 0, reserved: int = 0, carried: int = 0) -> PeriodState:
    return PeriodState(
        "posts_month",
        START,
        END,
        amount=100,
        used=used,
        reserved=reserved,
        carried=carried,
        alerted_percent=0,
    )


@given(used=AMOUNTS, reserved=AMOUNTS, carried=AMOUNTS, ledger=AMOUNTS, held=AMOUNTS)
def test_saying_what_was_found_is_sound(
    used: int, reserved: int, carried: int, ledger: int, held: int
) -> None:
    said = period(used=used, reserved=reserved, carried=carried)
    found = examine(said, ledger=ledger, held=held, now=START)
    assert found.drift == abs(used - ledger - carried) + abs(reserved - held)
    mended = period(used=found.used, reserved=found.reserved, carried=carried)
    assert not examine(mended, ledger=ledger, held=held, now=START).drift


def test_drifts_that_cancel_each_other_out_are_still_drifts() -> None:
    assert examine(period(used=5, reserved=0), ledger=0, held=5, now=START).drift == 10


@given(used=AMOUNTS, amount=st.integers(0, 5_000))
def test_a_threshold_is_reached_at_its_part_of_the_limit_and_not_before(used: int, amount: int) -> None:
    assert (reached(used, amount) == 100) == (used > 0 and used >= amount)
    assert (reached(used, amount) is None) == (used == 0 or used * 100 < 80 * amount)


def test_a_period_closes_when_it_has_ended_and_holds_nothing() -> None:
    assert not examine(period(), ledger=0, held=0, now=END - timedelta(seconds=1)).closed
    assert not examine(period(), ledger=0, held=1, now=END).closed
    assert examine(period(), ledger=0, held=0, now=END).closed

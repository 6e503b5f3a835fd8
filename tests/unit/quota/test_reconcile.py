"""What a period should say, without any database."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tasks.quota_accounting.reconcile import PeriodState, due_alert, examine

START = datetime(2026, 5, 1, tzinfo=UTC)
END = START + timedelta(days=31)
AMOUNTS = st.integers(0, 10_000)


def period(*, used: int = 0, reserved: int = 0, amount: int | None = 100, alerted: int = 0) -> PeriodState:
    return PeriodState("posts_month", START, END, amount, used, reserved, alerted)


@given(used=AMOUNTS, reserved=AMOUNTS, ledger=AMOUNTS, held=AMOUNTS)
def test_saying_what_was_found_is_sound(used: int, reserved: int, ledger: int, held: int) -> None:
    found = examine(period(used=used, reserved=reserved), ledger=ledger, held=held, now=START)
    mended = period(used=found.used, reserved=found.reserved, alerted=found.alerted_percent)
    assert not examine(mended, ledger=ledger, held=held, now=START).changes


@given(uses=st.lists(st.integers(0, 200), max_size=30), amount=st.integers(1, 500))
def test_however_use_grows_each_threshold_is_alerted_once_and_never_skipped(
    uses: list[int], amount: int
) -> None:
    used, alerted, raised = 0, 0, []
    for more in uses:
        used += more
        alert = due_alert(used, amount, alerted=alerted)
        if alert is not None:
            raised.append(alert)
            alerted = alert
    assert raised in ([], [80], [100], [80, 100])
    assert (alerted >= 100) == (used >= amount)
    assert (alerted >= 80) == (used * 100 >= 80 * amount)


def test_an_unlimited_meter_raises_no_alert() -> None:
    assert due_alert(10**9, None, alerted=0) is None


def test_nothing_used_of_nothing_raises_no_alert() -> None:
    assert due_alert(0, 0, alerted=0) is None
    assert due_alert(1, 0, alerted=0) == 100


def test_a_period_closes_when_it_has_ended_and_holds_nothing() -> None:
    assert not examine(period(), ledger=0, held=0, now=END - timedelta(seconds=1)).closed
    assert not examine(period(), ledger=0, held=1, now=END).closed
    assert examine(period(), ledger=0, held=0, now=END).closed

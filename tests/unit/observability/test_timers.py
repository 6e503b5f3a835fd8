"""What a worker's event loop forgets, and what it must not."""

from kombu.asynchronous.timer import Timer

from worker.timers import FEWEST, compact


def test_cancelled_timers_go_and_the_others_ring_in_their_order() -> None:
    timer, rung = Timer(), []
    entries = [timer.call_after(-n / 1000, rung.append, (n,)) for n in range(FEWEST)]
    for entry in entries[10:]:
        timer.cancel(entry)
    compact(timer)
    assert len(timer) == 10
    for _, entry in timer:
        if entry is None:
            break
        entry()
    assert rung == list(reversed(range(10)))


def test_few_are_left_alone() -> None:
    timer = Timer()
    timer.cancel(timer.call_after(60, print))
    compact(timer)
    assert len(timer) == 1

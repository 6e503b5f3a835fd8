"""When schedules run: every zone's clock changes, catch-up, jitter, and what is refused."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from uuid_utils.compat import uuid7

from worker.schedule import RUNS_PER_FIRING, Timing, TimingError, due_runs, jittered

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/Los_Angeles",
    "America/Sao_Paulo",  # changed its clocks at midnight, until 2019
    "Asia/Kathmandu",  # 5:45 ahead
    "Australia/Lord_Howe",  # changes its clocks by half an hour
)
CRONS = ("30 2 * * *", "0 0 * * *", "15 */6 * * *", "45 1,2,3 * * SUN", "0 9 1,L * *", "0 12 * * MON#2")
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
FOREVER = timedelta(days=10_000)


def timing(cron: str | None = None, zone: str = "UTC", **more: object) -> Timing:
    return Timing(cron, more.pop("interval", None), zone, more.pop("starts_at", LONG_AGO), **more)  # type: ignore[arg-type]


def year_of_cronsim(cron: str, zone: str, year: int) -> list[datetime]:
    begin = datetime(year, 1, 1, tzinfo=ZoneInfo(zone))
    moments = (local.astimezone(UTC) for local in CronSim(cron, begin))
    return list(takewhile(lambda moment: moment < begin.replace(year=year + 1).astimezone(UTC), moments))


def fired_by_a_frozen_clock(schedule: Timing, year: int) -> Iterator[datetime]:
    """Tick through the year with a clock that jumps, as beats do that are away now and then."""
    zone = ZoneInfo(schedule.time_zone)
    now = datetime(year, 1, 1, tzinfo=zone).astimezone(UTC)
    end = datetime(year + 1, 1, 1, tzinfo=zone).astimezone(UTC) - timedelta(seconds=1)
    following = schedule.next_after(now)
    while now < end:
        now = min(end, now + timedelta(hours=random.uniform(0.1, 60)))
        due = due_runs(schedule, following, now=now, catch_up=FOREVER)
        following = due.following
        yield from (run.nominal for run in due.runs)


@pytest.mark.parametrize(("zone", "year"), [*((zone, 2026) for zone in ZONES), ("America/Sao_Paulo", 2018)])
def test_a_year_fires_what_cronsim_lists(zone: str, year: int) -> None:
    for cron in CRONS:
        listed = year_of_cronsim(cron, zone, year)
        assert len(listed) > 10
        assert list(fired_by_a_frozen_clock(timing(cron, zone), year)) == listed, cron


def test_an_hourly_year_on_lord_howe_fires_what_cronsim_lists() -> None:
    zone = "Australia/Lord_Howe"
    listed = year_of_cronsim("0 * * * *", zone, 2026)
    assert list(fired_by_a_frozen_clock(timing("0 * * * *", zone), 2026)) == listed


@pytest.mark.parametrize(
    ("cron", "begin", "wall"),
    [
        # Clocks go forward at 02:00 on 29 March: 02:30 is not there, and runs at the first moment after.
        ("30 2 * * *", (2026, 3, 28), ["28 02:30+0100", "29 03:00+0200", "30 02:30+0200"]),
        ("0,30 2 * * *", (2026, 3, 29), ["29 03:00+0200", "30 02:00+0200", "30 02:30+0200"]),
        ("30 * * * *", (2026, 3, 29), ["29 00:30+0100", "29 01:30+0100", "29 03:30+0200"]),
        # Clocks go back at 03:00 on 25 October: 02:30 comes twice, and runs the first time.
        ("30 2 * * *", (2026, 10, 24), ["24 02:30+0200", "25 02:30+0200", "26 02:30+0100"]),
        ("30 1,2,3 * * *", (2026, 10, 25), ["25 01:30+0200", "25 02:30+0200", "25 03:30+0100"]),
        ("30 * * * *", (2026, 10, 25), ["25 00:30+0200", "25 01:30+0200", "25 02:30+0200", "25 02:30+0100"]),
    ],
)
def test_berlin_changes_its_clocks(cron: str, begin: tuple[int, int, int], wall: list[str]) -> None:
    zone = ZoneInfo("Europe/Berlin")
    after = datetime(*begin, tzinfo=zone) - timedelta(seconds=1)
    moments = islice(timing(cron, zone.key).after(after), len(wall))
    assert [f"{moment.astimezone(zone):%d %H:%M%z}" for moment in moments] == wall


def test_a_beat_that_looks_within_the_repeated_hour_does_not_run_it_again() -> None:
    schedule = timing("30 2 * * *", "Europe/Berlin")
    fired = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    for minutes in range(0, 120, 5):
        assert schedule.next_after(fired + timedelta(minutes=minutes)) == datetime(
            2026, 10, 26, 1, 30, tzinfo=UTC
        )


def test_an_interval_counts_elapsed_time_from_its_start() -> None:
    start = datetime(2026, 3, 28, 12, 0, tzinfo=ZoneInfo("Europe/Berlin"))
    schedule = timing(None, "Europe/Berlin", interval=timedelta(hours=12), starts_at=start)

    assert schedule.next_after(LONG_AGO) == start
    assert list(islice(schedule.after(start), 2)) == [
        datetime(2026, 3, 28, 23, tzinfo=UTC),
        datetime(2026, 3, 29, 11, tzinfo=UTC),
    ]


def test_nothing_runs_before_the_start_or_after_the_end() -> None:
    start, end = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 4, tzinfo=UTC)
    moments = list(timing("0 0 * * *", starts_at=start, ends_at=end).after(LONG_AGO))
    assert moments == [start, start + timedelta(days=1), end]


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("behind", "catch_up", "late", "in_time"),
    [
        (timedelta(minutes=-1), 60, 0, 0),
        (timedelta(0), 60, 0, 1),
        (timedelta(seconds=60), 60, 0, 2),
        (timedelta(seconds=119), 60, 1, 1),
        (timedelta(minutes=10), 300, 5, 6),
        (timedelta(minutes=10), 3600, 0, 11),
    ],
)
def test_catch_up_parts_late_from_in_time(behind: timedelta, catch_up: int, late: int, in_time: int) -> None:
    due = due_runs(timing("* * * * *"), NOON, now=NOON + behind, catch_up=timedelta(seconds=catch_up))

    assert [run.late for run in due.runs] == [True] * late + [False] * in_time
    assert due.following == NOON + timedelta(minutes=late + in_time)


def test_a_long_outage_is_settled_in_parts_without_a_gap() -> None:
    schedule, now = timing("* * * * *"), NOON + timedelta(minutes=1_200)
    first = due_runs(schedule, NOON, now=now, catch_up=FOREVER)
    second = due_runs(schedule, first.following, now=now, catch_up=FOREVER)

    assert (len(first.runs), len(second.runs)) == (RUNS_PER_FIRING, RUNS_PER_FIRING)
    assert second.runs[0].nominal - first.runs[-1].nominal == timedelta(minutes=1)


def test_jitter_is_the_same_on_every_beat_and_spread_over_its_span() -> None:
    span, ids = timedelta(minutes=10), [uuid7() for _ in range(1_000)]
    moments = [jittered(each, NOON, span) for each in ids]

    assert moments == [jittered(each, NOON, span) for each in ids]
    shares = sorted((moment - NOON) / span for moment in moments if moment)
    assert 0 <= shares[0] < 0.02
    assert 0.98 < shares[-1] < 1
    assert 0.45 < shares[500] < 0.55
    assert jittered(ids[0], NOON, span) != jittered(ids[0], NOON + span, span)
    assert jittered(ids[0], NOON, timedelta(0)) is None


@pytest.mark.parametrize(
    ("cron", "minutes"),
    [
        ("* * * * *", 1),
        ("*/15 * * * *", 15),
        ("*/7 * * * *", 4),
        ("0,1 9 * * MON", 1),
        ("0 */8 * * *", 480),
        ("30 0,23 * * *", 60),
        ("30 0,23 1 * *", 1_380),
        ("0 3 * * *", 1_440),
        ("0 3 1 1 *", 1_440),
    ],
)
def test_the_shortest_gap_is_known(cron: str, minutes: int) -> None:
    assert timing(cron).shortest_gap() == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("wrong", "field", "fix"),
    [
        (timing("60 * * * *"), "cron", "bad minute; write five fields"),
        (timing("0 9 * *"), "cron", "must have five fields"),
        (timing("0 0 9 * * *"), "cron", "must have five fields"),
        (timing("@daily"), "cron", "must have five fields"),
        (timing("0 0 31 2 *"), "cron", "bad day-of-month"),
        (timing("0 9 * * *" + ",1" * 200), "cron", "must have five fields"),
        (timing(None), "cron", "either cron or interval_seconds"),
        (timing("* * * * *", interval=timedelta(hours=1)), "cron", "either cron or interval_seconds"),
        (timing("* * * * *", "Mars/Olympus"), "time_zone", "such as Europe/Berlin"),
        (timing("* * * * *", "../etc/passwd"), "time_zone", "such as Europe/Berlin"),
        (timing("* * * * *", ends_at=LONG_AGO), "ends_at", "after starts_at"),
        (timing("0 0 1 2 *", ends_at=LONG_AGO + timedelta(days=9)), "cron", "never runs between"),
    ],
)
def test_what_cannot_be_is_refused_with_the_field_and_the_fix(wrong: Timing, field: str, fix: str) -> None:
    with pytest.raises(TimingError, match=fix) as refused:
        wrong.check()
    assert refused.value.field == field


def test_what_can_be_is_not_refused() -> None:
    for cron in (*CRONS, "0 0 29 2 *", "0 0 * * 0#5"):
        timing(cron, "Europe/Berlin").check()
    timing(None, interval=timedelta(hours=1)).check()

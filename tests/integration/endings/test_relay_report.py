"""Beats tell that they live, what they did and how far they are behind, to whoever may ask."""

import os
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from config.settings import Settings
from models.session import Database, RelayDatabase, relay_session
from tests.integration.endings.steps import Endings, leave
from worker.app import app
from worker.publish import Publisher
from worker.relay_report import measure_lag, note_pass, read_report
from worker.scheduler import RelayScheduler


@pytest.fixture
def scheduler(
    settings: Settings,
    database: Database,
    relay_database: RelayDatabase,
    publisher: Publisher,
    monkeypatch: pytest.MonkeyPatch,
) -> RelayScheduler:
    monkeypatch.setattr("worker.scheduler.get_database", lambda: database)
    monkeypatch.setattr("worker.scheduler.open_relay_database", lambda _: relay_database)
    monkeypatch.setattr("worker.scheduler.get_publisher", lambda: publisher)
    return RelayScheduler(app)


def test_before_any_beat_there_is_nothing_to_tell(database: Database) -> None:
    report = read_report(database.engine)
    assert (report.alive, report.since_pass, report.counts, report.lag) == (0, None, {}, {})


def test_a_beat_tells_what_it_found_and_did(
    scheduler: RelayScheduler, endings: Endings, database: Database
) -> None:
    scheduler.tick()
    jobs = endings.submit(leave("a"), leave("b"))
    endings.age(*(job.id for job in jobs))
    RelayScheduler(app).tick()  # another beat, whose measurement is due

    report = read_report(database.engine)
    [beat] = report.beats
    assert beat.endswith(f":{os.getpid()}")
    assert report.alive == 1
    assert report.since_pass is not None
    assert 0 <= report.since_pass < 30
    assert report.counts["published"] == 2
    assert report.lag["unpublished"] == 2, "what waited for the pass"
    assert 300 <= report.lag["oldest_unpublished"] < 400
    assert report.lag["rebuilding"] is False
    assert report.measured_ago is not None
    assert report.measured_ago < timedelta(seconds=30)


def test_counts_add_up_over_beats_and_passes(relay_database: RelayDatabase, database: Database) -> None:
    for done in ({"requeued": 2, "published": 0}, {"requeued": 3}):
        note_pass(relay_database, done)
    assert read_report(database.engine).counts == {"requeued": 5}


def test_a_beat_that_died_is_not_counted_and_forgotten_after_an_hour(
    relay_database: RelayDatabase, database: Database
) -> None:
    with relay_session(relay_database) as session:
        session.execute(
            text(
                "INSERT INTO app.beats (name, passed_at) VALUES ('a:1', now() - interval '2 minutes'),"
                " ('b:1', now() - interval '2 hours')"
            )
        )
    assert (len(read_report(database.engine).beats), read_report(database.engine).alive) == (2, 0)
    note_pass(relay_database, {})
    report = read_report(database.engine)
    assert (len(report.beats), report.alive) == (2, 1)
    assert "b:1" not in report.beats


def test_without_redis_the_beat_lives_and_counts_what_failed(
    scheduler: RelayScheduler, database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    monkeypatch.setattr("worker.scheduler.get_publisher", lambda: Publisher(nowhere))
    scheduler.setup_schedule()
    scheduler.tick()
    report = read_report(database.engine)
    assert report.alive == 1
    assert report.counts["failed_steps"] >= 1


def test_measuring_is_done_now_and_then(
    scheduler: RelayScheduler, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    passing_each_tick = settings.model_copy(update={"relay_interval": timedelta(0)})
    monkeypatch.setattr("worker.scheduler.get_settings", lambda: passing_each_tick)
    measured: list[object] = []
    passes: list[object] = []
    monkeypatch.setattr("worker.scheduler.measure_lag", measured.append)
    monkeypatch.setattr("worker.scheduler.note_pass", lambda *done: passes.append(done))
    for _ in range(3):
        scheduler.tick()
    assert (len(measured), len(passes)) == (1, 3)


def test_the_application_reads_the_report_and_not_what_it_is_made_of(
    database: Database, relay_database: RelayDatabase
) -> None:
    measure_lag(relay_database)
    assert read_report(database.engine).lag
    for table in ("beats", "relay_counts", "relay_state"):
        with database.engine.connect() as connection, pytest.raises(ProgrammingError, match="denied"):
            connection.execute(text(f"SELECT * FROM app.{table}"))

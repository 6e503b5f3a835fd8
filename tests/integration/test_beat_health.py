"""A beat is as healthy as its passes: what a container asks, and what an operator reads."""

import re
import socket
import subprocess
import sys

import pytest
from sqlalchemy import text

from config.settings import ROOT, Settings
from models.session import Database, RelayDatabase, relay_session
from ops.relay_view import describe
from worker.relay_report import RelayReport, measure_lag, note_pass, read_report


def check(database_url: str) -> subprocess.CompletedProcess[str]:
    """Run the health check as a container does."""
    return subprocess.run(
        [sys.executable, "deploy/healthy.py", "beat"],
        cwd=ROOT,
        env={"GENIUS_DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def database_url(settings: Settings) -> str:
    return str(settings.database_url)


def test_a_beat_that_passes_is_healthy(relay_database: RelayDatabase, database_url: str) -> None:
    note_pass(relay_database, {})
    assert check(database_url).returncode == 0


@pytest.mark.parametrize(
    ("name", "passed", "trouble"),
    [
        (f"{socket.gethostname()}:1", "2 minutes", r"its last pass was 1[2-9]\d s ago"),
        ("another.host:1", "0", "not done a pass"),
    ],
)
def test_a_beat_that_stands_still_is_not(
    relay_database: RelayDatabase, database_url: str, name: str, passed: str, trouble: str
) -> None:
    with relay_session(relay_database) as session:
        values = {"name": name, "passed": passed}
        session.execute(
            text("INSERT INTO app.beats (name, passed_at) VALUES (:name, now() - cast(:passed AS interval))"),
            values,
        )
    done = check(database_url)
    assert done.returncode == 1
    assert re.search(trouble, done.stderr), done.stderr


def test_without_postgres_no_beat_is_healthy() -> None:
    done = check("postgresql://nobody:nothing@127.0.0.1:1/genius")
    assert (done.returncode, done.stderr) == (1, "beat: no word from Postgres (OperationalError)\n")


def test_an_operator_reads_the_relays_state_in_a_line(
    database: Database, relay_database: RelayDatabase
) -> None:
    assert "no beat has passed" in describe(read_report(database.engine)).plain
    note_pass(relay_database, {})
    measure_lag(relay_database)
    report = read_report(database.engine)
    assert report.since_pass is not None
    told = describe(report).plain
    assert f"beats 1, last pass {report.since_pass:.1f} s ago" in told
    assert "unpublished 0; lapsed 0; due schedules 0" in told


def test_what_is_late_stands_out(database: Database, relay_database: RelayDatabase) -> None:
    note_pass(relay_database, {})
    beats = read_report(database.engine).beats
    late = {"unpublished": 7, "oldest_unpublished": 61.5, "lapsed": 1, "oldest_lapsed": 0.4}
    line = describe(RelayReport(beats, {}, late, None))
    assert [line.plain[span.start : span.end] for span in line.spans if span.style == "yellow"] == [
        "unpublished 7, 61.5 s"
    ]

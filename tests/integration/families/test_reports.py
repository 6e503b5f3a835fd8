"""Reports of a tenant whose life is known: right figures, the same bytes each time, one snapshot a period."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import ProgrammingError

from config.settings import ROOT, Settings
from models.organization import Tenant
from models.report import Report
from models.session import Database, tenant_session
from models.setting import Setting
from tasks.branding import SETTING
from tasks.catalog import PRODUCE_REPORT
from tasks.report_payloads import ProduceReport
from tasks.reporting.job import produce
from tests.integration.families import report_seed
from tests.integration.families.report_seed import FORMULA, MONDAY, ZONE, seed
from tests.support.service import Services
from tests.support.wait import wait_until
from tests.unit.reports.test_look import PNG
from worker.context import Completion, PermanentJobError
from worker.publish import Publisher
from worker.submit import Submission, submit

Run = Callable[..., Completion]
Organize = Callable[..., Tenant]

LAST_WEEK = ProduceReport(day=MONDAY.date())


@pytest.fixture
def tenant(database: Database) -> Tenant:
    return seed(database)


def snapshots(database: Database, tenant: Tenant) -> list[Report]:
    with tenant_session(database, tenant.organization_id) as session:
        return list(session.scalars(select(Report).order_by(Report.first_day, Report.revision)))


def report_of(database: Database, tenant: Tenant, run: Run, payload: ProduceReport = LAST_WEEK) -> Report:
    done = run(tenant, produce, payload)
    with tenant_session(database, tenant.organization_id) as session:
        return session.scalars(select(Report).where(Report.id == UUID(done.result["report_id"]))).one()


def metrics_of(report: Report) -> dict[str, dict[str, Any]]:
    document = json.loads(report.document)
    return {metric["key"]: metric for group in document["groups"] for metric in group["metrics"]}


FIGURES = {
    "posts_published": "SELECT count(*) FROM social_posts WHERE state = 'published' AND {day}(published_at)",
    "publish_success": (
        "SELECT avg((state = 'published')::int) FROM social_posts"
        " WHERE {day}(coalesce(published_at, updated_at))"
    ),
    "publish_delay": (
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM published_at - scheduled_at))"
        " FROM social_posts WHERE {day}(published_at)"
    ),
    "leads_new": "SELECT count(*) FROM leads WHERE {day}(created_at)",
    "lead_score": "SELECT avg(score) FROM leads WHERE last_scored_at IS NOT NULL AND {day}(created_at)",
    "conversions": "SELECT count(*) FROM leads WHERE {day}(converted_at)",
    "conversion_rate": (
        "SELECT (SELECT count(*) FROM leads WHERE {day}(converted_at))::float / count(*) FROM leads"
        " WHERE {day}(created_at)"
    ),
    "active_people": "SELECT count(DISTINCT requested_by) FROM jobs WHERE {day}(created_at)",
    "job_success": "SELECT avg((state = 'succeeded')::int) FROM jobs WHERE {day}(finished_at)",
    "job_wait": (
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM started_at - created_at))"
        " FROM jobs WHERE {day}(started_at)"
    ),
    "jobs": "SELECT sum(quantity) FROM usage_ledger WHERE meter = 'jobs_month' AND {day}(recorded_at)",
    "leads_scored": (
        "SELECT sum(quantity) FROM usage_ledger WHERE meter = 'leads_scored_month' AND {day}(recorded_at)"
    ),
    "visitors": "SELECT count(DISTINCT visitor) FROM analytics_events WHERE {day}(occurred_at)",
    "event_value": "SELECT sum(value) FROM analytics_events WHERE {day}(occurred_at)",
}
"""What each metric is, in words of the database; `{day}` stands for the local days of the week."""


def expected(database: Database, tenant: Tenant, key: str, monday: date) -> float | None:
    local = r"date_trunc('week', timezone(:zone, \1))::date = :monday"
    statement = re.sub(r"\{day\}\((coalesce\(.*?\)|\w+)\)", local, FIGURES[key])
    with tenant_session(database, tenant.organization_id) as session:
        value = session.execute(text(statement), {"zone": ZONE, "monday": monday}).scalar_one()
    return None if value is None else float(value)


def test_every_figure_of_every_week_is_what_plain_sql_says(
    database: Database, tenant: Tenant, run: Run, organization: Organize
) -> None:
    seed(database, name="A neighbour with the same life")
    report = report_of(database, tenant, run)
    weeks = [date.fromisoformat(week["first_day"]) for week in json.loads(report.document)["weeks"]]
    assert weeks[-1] == MONDAY.date()
    metrics = metrics_of(report)
    assert metrics.keys() == FIGURES.keys()
    for key, metric in metrics.items():
        wanted = [expected(database, tenant, key, monday) for monday in weeks]
        assert metric["weekly"] == pytest.approx(wanted, abs=1e-6), key
        assert (metric["value"], metric["previous"]) == (metric["weekly"][-1], metric["weekly"][-2])


def test_the_report_advises_on_what_was_seeded(database: Database, tenant: Tenant, run: Run) -> None:
    document = json.loads(report_of(database, tenant, run).document)
    found = {one["rule"]: one["evidence"] for one in document["recommendations"]}
    assert {"accounts_out_of_use", "posts_fail", "jobs_fail", "quota_runs_out", "cadence_falls"} <= set(found)
    assert found["accounts_out_of_use"][0]["value"] == "needs_reauth"
    assert found["cadence_falls"][0]["value"] < found["cadence_falls"][0]["threshold"]


def test_a_month_has_its_own_figures(database: Database, tenant: Tenant, run: Run) -> None:
    report = report_of(database, tenant, run, ProduceReport(grain="month", day=date(2026, 9, 9)))
    assert (report.first_day, report.last_day) == (date(2026, 9, 1), date(2026, 9, 30))
    with tenant_session(database, tenant.organization_id) as session:
        count = text("SELECT count(*) FROM leads WHERE to_char(timezone(:zone, created_at), 'YYYY-MM') = :m")
        wanted = [session.scalar(count, {"zone": ZONE, "m": month}) for month in ("2026-09", "2026-08")]
    new = metrics_of(report)["leads_new"]
    assert [new["value"], new["previous"]] == wanted


def test_an_organization_of_this_week_has_no_trend_and_no_past(
    database: Database, organization: Organize, run: Run
) -> None:
    tenant = organization()
    report = report_of(database, tenant, run, ProduceReport())
    for metric in metrics_of(report).values():
        assert metric["trend"]["direction"] == "not enough data", metric["key"]
        assert metric["weekly"] == [None] * 8
    assert "not enough data (0 of 4 weeks)" in report.html
    assert json.loads(report.document)["recommendations"] == []


def test_the_same_inputs_give_the_same_bytes(database: Database, tenant: Tenant, run: Run) -> None:
    first = report_of(database, tenant, run)
    again = run(tenant, produce, ProduceReport(day=MONDAY.date(), again=True))
    assert again.result == {
        "report_id": str(first.id),
        "revision": 1,
        "sha256": first.sha256.hex(),
        "fresh": False,
    }
    script = (
        "import json, sys; from tasks.branding import Branding;"
        "from tasks.reporting.document import canonical; from tasks.reporting.render import *;"
        "d = json.load(sys.stdin);"
        "sys.stdout.buffer.write(canonical(d) + render_csv(d).encode() + render_html(d, Branding()).encode())"
    )
    for hash_seed in ("1", "2"):
        made = subprocess.run(  # noqa: S603 - our own script
            [sys.executable, "-c", script],
            input=first.document.encode(),
            stdout=subprocess.PIPE,
            check=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "TZ": "Asia/Tokyo", "LC_ALL": "C"},
        )
        assert made.stdout == (first.document + first.csv + first.html).encode()


def test_figures_that_changed_make_a_second_snapshot_only_when_asked(
    database: Database, tenant: Tenant, run: Run
) -> None:
    first = report_of(database, tenant, run)
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(text("DELETE FROM leads WHERE converted"))
    assert run(tenant, produce, LAST_WEEK).result["report_id"] == str(first.id)
    second = report_of(database, tenant, run, ProduceReport(day=MONDAY.date(), again=True))
    assert (second.revision, second.sha256 != first.sha256) == (2, True)
    [kept, _] = snapshots(database, tenant)
    assert (kept.document, kept.html, kept.csv) == (first.document, first.html, first.csv)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE reports SET document = '{}'",
        "UPDATE reports SET html = ''",
        "UPDATE reports SET revision = 9",
        "DELETE FROM reports",
        "TRUNCATE reports",
        "INSERT INTO reports SELECT * FROM reports ON CONFLICT DO UPDATE SET html = ''",
    ],
)
def test_the_application_cannot_alter_a_snapshot(
    database: Database, organization: Organize, run: Run, statement: str
) -> None:
    tenant = organization()
    before = report_of(database, tenant, run, ProduceReport())
    refused: Any = pytest.raises(ProgrammingError)
    with refused as error, tenant_session(database, tenant.organization_id) as session:
        session.execute(text(statement))
    assert isinstance(error.value.orig, psycopg.errors.InsufficientPrivilege | psycopg.errors.SyntaxError)
    [after] = snapshots(database, tenant)
    assert (after.document, after.html, after.revision) == (before.document, before.html, 1)


def test_many_at_once_make_one_snapshot(database: Database, tenant: Tenant, run: Run) -> None:
    with ThreadPoolExecutor(5) as threads:
        jobs = [threads.submit(run, tenant, produce, LAST_WEEK) for _ in range(20)]
    results = [job.result().result for job in jobs]
    assert len({result["report_id"] for result in results}) == 1
    assert sum(result["fresh"] for result in results) == 1
    assert len(snapshots(database, tenant)) == 1


def test_a_period_that_is_not_over_is_refused(database: Database, organization: Organize, run: Run) -> None:
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    with pytest.raises(PermanentJobError, match="is not over yet"):
        run(organization(), produce, ProduceReport(day=tomorrow))


def test_a_logo_and_a_colour_are_for_plans_that_have_them(database: Database, run: Run) -> None:
    look = {"name": "Brand <b>& Sons</b>", "colour": "#ffd400", "logo": PNG, "logo_text": '"logo"'}
    pages = {}
    for plan in ("starter", "professional"):
        tenant = seed(database, plan=plan)
        with tenant_session(database, tenant.organization_id) as session:
            row = {"organization_id": tenant.organization_id, "key": SETTING, "value": look}
            session.execute(insert(Setting).values(row))
        pages[plan] = report_of(database, tenant, run).html
    assert PNG in pages["professional"]
    assert "--accent: #ffd400; --on-accent: #000000" in pages["professional"]
    assert "Brand &lt;b&gt;&amp; Sons&lt;/b&gt;" in pages["professional"]
    assert 'alt="&#34;logo&#34;"' in pages["professional"]
    assert not any(part in pages["starter"] for part in (PNG, "#ffd400", "Brand"))


def test_no_cell_of_the_table_is_a_formula(database: Database, tenant: Tenant, run: Run) -> None:
    report = report_of(database, tenant, run)
    assert report.csv.startswith("\ufeff")
    rows = list(csv.DictReader(io.StringIO(report.csv.removeprefix("\ufeff"))))
    cells = [cell for row in rows for name, cell in row.items() if name != "value"]
    assert f"'{FORMULA}" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    slopes = [row["value"] for row in rows if "change a week" in row["metric"]]
    assert [float(slope) < 0 for slope in slopes] == [True], "a negative number stays a number"
    assert {row["item"] for row in rows if row["section"] == "campaigns"} >= {report_seed.HEBREW}


def test_workers_that_repeat_each_other_make_one_report_a_tenant_and_week(
    database: Database, settings: Settings, organization: Organize, services: Services
) -> None:
    tenants = [seed(database), seed(database, name="Another"), organization()]
    publisher = Publisher(settings)
    services.worker(queues=["analytics"], concurrency=3, wait=False)
    for tenant in tenants:
        work = [Submission(PRODUCE_REPORT, LAST_WEEK) for _ in range(10)]
        submit(database, tenant, work, publisher=publisher)

    def succeeded() -> int:
        count = text("SELECT count(*) FROM jobs WHERE state = 'succeeded' AND kind = 'reports.produce'")
        done = 0
        for tenant in tenants:
            with tenant_session(database, tenant.organization_id) as session:
                done += session.scalars(count).one()
        return done

    wait_until(lambda: succeeded() == 30, timeout=120)
    assert [len(snapshots(database, tenant)) for tenant in tenants] == [1, 1, 1]

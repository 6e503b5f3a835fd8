"""How many leads a second one core rescores, database included, and how fast the bare computation is.

Benchmark and Postgres share one core. 100,000 leads with ten attributes and some events each are rescored in
jobs of 5,000: once never scored, then by other rules each round, so that every score is written, then once
more by the same, where nothing is. Run it as
``python benchmarks/scoring.py [--leads 100000] [--events 3] [--rounds 5]``.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psutil
from rich.console import Console
from rich.table import Table
from sqlalchemy import func, select, text
from uuid_utils.compat import uuid7

from config.logging import configure_logging
from config.settings import get_settings
from models.lead import Lead
from models.organization import Organization, Tenant, load_tenant
from models.scoring import LeadRuleSet
from models.session import Database, call_for_each, open_database, tenant_session
from ops.schema import upgrade
from ops.stack import Stack, settings_from
from tasks.catalog import RESCORE_LEADS, SCORE_LEADS
from tasks.lead_scoring.context import read_context
from tasks.lead_scoring.job import score
from tasks.lead_scoring.rescore import rescore
from tasks.lead_scoring.score import LeadTable, score_leads
from tasks.lead_scoring.store import read_events, read_range
from tasks.payloads import LEADS_PER_JOB
from tasks.scoring_defaults import DEFAULT_RULES
from tasks.scoring_payloads import RescoreLeads
from worker.context import Claim
from worker.execution import run_in_database
from worker.publish import Publisher
from worker.submit import Submission, submit

LEADS = text("""
INSERT INTO leads (organization_id, id, external_id, email, email_norm, first_name, last_name, company,
    job_title, phone, source, attributes)
SELECT :organization_id, app.uuid7(), 'lead-' || n, 'p' || n || '@example.com', 'p' || n || '@example.com',
    'First' || n, 'Last' || n, CASE WHEN n % 3 > 0 THEN 'Company ' || n % 977 END,
    (ARRAY['Head of Sales', 'Engineer', 'Director', 'Student', 'Manager'])[1 + n % 5],
    CASE WHEN n % 2 = 0 THEN '+49 30 ' || n END,
    (ARRAY['Google', 'Referral', 'Direct Traffic', 'Organic Search'])[1 + n % 4],
    jsonb_build_object('visits', n % 9, 'seconds_on_site', n * 7 % 2000, 'pages', n % 7,
        'occupation', (ARRAY['Working Professional', 'Unemployed', 'Student'])[1 + n % 3],
        'do_not_email', n % 11 = 0, 'city', (ARRAY['Mumbai', 'Pune', 'Thane'])[1 + n % 3], 'country', 'India',
        'specialization', 'Finance ' || n % 20, 'last_activity', 'Email Opened', 'newsletter', false)
FROM generate_series(1, :leads) AS n
""")
EVENTS = text("""
INSERT INTO lead_events (organization_id, lead_id, name, occurred_at)
SELECT :organization_id, lead.id,
    (ARRAY['email_opened', 'page_viewed', 'form_submitted', 'email_clicked', 'pricing_viewed',
        'demo_requested'])[1 + (abs(hashtext(lead.external_id)) + n) % 6],
    now() - make_interval(mins => abs(hashtext(lead.external_id || n)) % 86400)
FROM leads AS lead, generate_series(1, :events) AS n
""")
BENCH_LEASE = timedelta(minutes=5)


@contextmanager
def site() -> Iterator[tuple[Database, Publisher, Tenant]]:
    """Run a database with one organization on the core of this process."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GENIUS_")}
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        with Stack(Path(directory) / "stack", environ=environment) as stack:
            os.environ.update(stack.environment() | {"GENIUS_LOG_LEVEL": "WARNING"})
            get_settings.cache_clear()
            settings = settings_from(os.environ)
            configure_logging(settings)
            upgrade(settings)
            database = open_database(settings)
            tenant_id = uuid7()
            with tenant_session(database, tenant_id) as session:
                session.add(Organization(organization_id=tenant_id, name="bench", plan="enterprise"))
            tenant = load_tenant(database, tenant_id)
            assert tenant is not None
            yield database, Publisher(settings), tenant
            database.engine.dispose()


def fill(database: Database, tenant: Tenant, *, leads: int, events: int) -> None:
    """Give the organization leads, and events of the last sixty days."""
    owner = {"organization_id": tenant.organization_id}
    for statement, amount in ((LEADS, {"leads": leads}), (EVENTS, {"events": events})):
        with tenant_session(database, tenant.organization_id) as session:
            session.execute(text("SET LOCAL statement_timeout = 0"))
            session.execute(statement, owner | amount)


def change_rules(database: Database, tenant: Tenant, version: int) -> None:
    """Put rules in force by which every lead's score, reasons or version differ from before."""
    rules = [
        rule.model_copy(update={"points": rule.points + (version % 2 or -1)}) for rule in DEFAULT_RULES.fit
    ]
    content = DEFAULT_RULES.model_copy(update={"fit": tuple(rules)}).model_dump(
        mode="json", exclude={"version"}
    )
    with tenant_session(database, tenant.organization_id) as session:
        session.add(LeadRuleSet(organization_id=tenant.organization_id, version=version, rules=content))


def claim(database: Database, tenant: Tenant, job_id: UUID) -> Claim:
    """Claim a job as a worker does."""
    [row] = call_for_each(
        database,
        [tenant.organization_id],
        "claim_jobs",
        jobs=[job_id],
        attempts_made=[0],
        worker="bench",
        lease=BENCH_LEASE,
    )
    return Claim(organization_id=tenant.organization_id, **row)


def rescore_all(database: Database, publisher: Publisher, tenant: Tenant) -> tuple[float, int]:
    """Split all leads into jobs and run them; return the seconds and the leads at the rules in force."""
    began = time.perf_counter()
    [job] = submit(
        database, tenant, [Submission(RESCORE_LEADS, RescoreLeads(which="all"))], publisher=publisher
    )
    run_in_database(database, rescore, claim(database, tenant, job.id), RescoreLeads(which="all"))
    with tenant_session(database, tenant.organization_id) as session:
        batches = session.scalars(
            text("SELECT id FROM jobs WHERE kind = 'leads.score' AND state = 'queued'")
        ).all()
    for batch in batches:
        mine = claim(database, tenant, batch)
        run_in_database(database, score, mine, SCORE_LEADS.payload.model_validate(mine.payload))
    seconds = time.perf_counter() - began
    with tenant_session(database, tenant.organization_id) as session:
        last = select(func.max(LeadRuleSet.version)).scalar_subquery()
        current = select(func.count()).where(Lead.rules_version == func.coalesce(last, 0))
        return seconds, session.scalars(current).one()


def busy(database: Database, tenant: Tenant) -> float:
    """Return the CPU seconds that this process and all of Postgres have used: other work does not count."""
    with tenant_session(database, tenant.organization_id) as session:
        server = psutil.Process(session.scalars(select(func.pg_backend_pid())).one()).parent()
    assert server is not None
    spent = [process.cpu_times() for process in (server, *server.children())]
    return time.process_time() + sum(one.user + one.system for one in spent)


def compute(database: Database, tenant: Tenant, rounds: int) -> float:
    """Return the leads a second that the bare computation scores: one batch, in memory, read before."""
    with tenant_session(database, tenant.organization_id) as session:
        context = read_context(session, tenant.organization_id)
        batch = read_range(
            session, tenant.organization_id, before=None, limit=LEADS_PER_JOB, fields=context.fields
        )
        events = read_events(session, tenant.organization_id, batch, context)
    table = LeadTable(batch.columns, events, len(batch.ids))
    began = time.perf_counter()
    for _ in range(rounds):
        score_leads(context.rules, table, now=context.now.timestamp(), model=context.model)
    return rounds * table.leads / (time.perf_counter() - began)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leads", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=3, help="events of each lead")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    table = Table(title=f"{options.leads:,} leads with {options.events} events each, on core {core}")
    for heading in ("round", "leads/s", "CPU a lead", "leads at the rules in force"):
        table.add_column(heading, justify="left" if heading == "round" else "right")
    rates = []
    with site() as (database, publisher, tenant):
        fill(database, tenant, leads=options.leads, events=options.events)
        for number in range(options.rounds + 2):
            names = {0: "never scored before", options.rounds + 1: "again by the same rules"}
            if 0 < number <= options.rounds:
                change_rules(database, tenant, number)
            used = busy(database, tenant)
            seconds, current = rescore_all(database, publisher, tenant)
            cpu = (busy(database, tenant) - used) / options.leads * 1e6
            if 0 < number <= options.rounds:
                rates.append(options.leads / seconds)
            name = names.get(number, f"other rules, round {number}")
            table.add_row(name, f"{options.leads / seconds:,.0f}", f"{cpu:.1f} us", f"{current:,}")
        table.add_row("other rules, median", f"{statistics.median(rates):,.0f}", "", "")
        table.add_row("bare computation", f"{compute(database, tenant, 20):,.0f}", "", "")
    Console().print(table)


if __name__ == "__main__":
    main()

"""What a worker asks of a table reads as many rows as it asks for, however many jobs its tenant has waiting.

The tables are new: Postgres knows nothing of them yet, and takes an organization's rows to be few.
"""

from collections.abc import Callable

import pytest

from config.settings import Settings
from models.organization import Tenant
from models.session import Database
from ops.stack import PostgresUrls
from tests.integration.life.acts import leave, run
from tests.support.kinds import LEAVE_BRIEFLY, Leave, leave_briefly
from tests.support.table_counts import counting
from worker.brief import run_group
from worker.pointer import make_pointer
from worker.publish import Publisher
from worker.submit import Submission, submit

BACKLOG, FEW = 1_000, 10
READ = """
SELECT relname, seq_tup_read + coalesce((
    SELECT sum(idx_tup_read) FROM pg_stat_user_indexes AS own WHERE own.relid = whole.relid), 0)
FROM pg_stat_user_tables AS whole WHERE relname = ANY (%s)
"""
TABLES = ("jobs", "outbox", "job_leases", "quota_reservations", "job_waits")


@pytest.fixture
def reads(database: Database, database_urls: PostgresUrls) -> Callable[[], dict[str, int]]:
    """Count the rows and index entries of each table that were read so far."""

    def count() -> dict[str, int]:
        with counting(database_urls, database.engine) as connection:
            return {name: int(read) for name, read in connection.execute(READ, (list(TABLES),))}

    return count


def test_few_jobs_of_a_large_backlog_read_few_rows(
    database: Database,
    settings: Settings,
    tenant: Tenant,
    publisher: Publisher,
    reads: Callable[[], dict[str, int]],
) -> None:
    jobs = submit(database, tenant, [leave() for _ in range(BACKLOG)], publisher=publisher)
    brief = submit(
        database, tenant, [Submission(LEAVE_BRIEFLY, Leave(name="a"))] * BACKLOG, publisher=publisher
    )
    before = reads()
    pointers = [
        make_pointer(tenant.organization_id, job.id, kind=job.kind, attempts_made=0, due_at=None)
        for job in brief[:FEW]
    ]
    run_group(database, LEAVE_BRIEFLY, leave_briefly, pointers)
    in_a_group = reads()
    for job in jobs[:FEW]:
        run(settings, tenant, job.id)
    alone = reads()

    most = 20 * FEW
    for table in TABLES:
        assert in_a_group[table] - before[table] <= most, f"{table} of brief jobs"
        assert alone[table] - in_a_group[table] <= most, f"{table} of others"
    assert in_a_group["jobs"] - before["jobs"] >= FEW, "nothing was counted"

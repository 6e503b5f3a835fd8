"""Our jobs with all that belongs to their life, and procrastinate, which records its own in Postgres too."""

import asyncio
import os
import uuid
from collections.abc import Mapping, Sequence

import psycopg
from sqlalchemy import text
from support.life_kinds import FILL, ROWS, UPDATE_ALONE, UPDATE_ONE, OneRow
from support.system import Row, System

from config.settings import Settings
from models.organization import Organization, Tenant, load_tenant
from models.session import Database, open_database, tenant_session
from worker.fairshare.keys import LaneKeys
from worker.publish import Publisher
from worker.submit import Submission, submit

LIFE, ALONE, PROCRASTINATE = "job life", "job life alone", "procrastinate"
BATCH = 1_000


class LifeSystem(System):
    """The platform: record, publish, claim, run under row-level security, complete, account."""

    def __init__(self, redis_url: str, settings: Settings, *, tenants: int, name: str = LIFE) -> None:
        super().__init__(name, redis_url)
        self.kind = UPDATE_ALONE if name == ALONE else UPDATE_ONE
        self.database: Database = open_database(settings)
        self.publisher = Publisher(settings)
        self.tenants = [self._make_tenant() for _ in range(tenants)]

    def _make_tenant(self) -> Tenant:
        organization_id = uuid.uuid4()
        with tenant_session(self.database, organization_id) as session:
            session.add(Organization(organization_id=organization_id, name="Bench", plan="enterprise"))
            session.flush()
            session.execute(text(FILL), {"organization_id": organization_id, "last": ROWS - 1})
        tenant = load_tenant(self.database, organization_id)
        assert tenant is not None
        return tenant

    def submissions(self, count: int) -> list[Submission]:
        """Return jobs that change a tenant's rows in turn."""
        return [Submission(self.kind, OneRow(row=n % ROWS)) for n in range(count)]

    def publish(self, rows: Sequence[Row]) -> None:
        """Submit as many jobs, the tenants' batches in turn."""
        share = len(rows) // len(self.tenants)
        for begin in range(0, share, BATCH):
            wanted = self.submissions(min(BATCH, share - begin))
            for tenant in self.tenants:
                submit(self.database, tenant, wanted, publisher=self.publisher)

    def left(self) -> int:
        """Count messages that are not acknowledged."""
        return self.client.hlen(LaneKeys(UPDATE_ONE.lane, "").of("body"))

    def worker_command(self, pool: str, slots: int) -> list[str]:
        """Run the stock worker of the platform."""
        return [
            *(
                "celery",
                "-A",
                "worker.app",
                "worker",
                "-I",
                "support.life_kinds",
                "-P",
                pool,
                "-c",
                str(slots),
            ),
            *("-Q", UPDATE_ONE.lane, "-n", f"{uuid.uuid4().hex[:8]}@bench"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"),
        ]

    def worker_environment(self) -> Mapping[str, str]:
        """Log no success."""
        return {"GENIUS_LOG_LEVEL": "WARNING"}

    def close(self) -> None:
        """Let go of the connections."""
        self.database.engine.dispose()
        super().close()


class ProcrastinateSystem(System):
    """procrastinate 3: two processes' worth of asynchronous jobs in one."""

    def __init__(self, redis_url: str) -> None:
        super().__init__(PROCRASTINATE, redis_url)
        self.url = os.environ["BENCH_DATABASE"]

    def publish(self, rows: Sequence[Row]) -> None:
        """Defer in batches of a thousand."""
        asyncio.run(self._publish(rows))

    async def _publish(self, rows: Sequence[Row]) -> None:
        from support.procrastinate_app import app, update  # noqa: PLC0415 - only where it is measured

        async with app.open_async():
            with psycopg.connect(self.url) as connection:
                known = connection.execute("SELECT to_regclass('procrastinate_jobs')").fetchone()
            if known == (None,):
                await app.schema_manager.apply_schema_async()
            for begin in range(0, len(rows), BATCH):
                await update.batch_defer_async(*({"row": row[2][0]} for row in rows[begin : begin + BATCH]))

    def left(self) -> int:
        """Count jobs that are not done."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute("SELECT count(*) FROM procrastinate_jobs").fetchone()
        return int(row[0]) if row else 0

    def worker_command(self, pool: str, slots: int) -> list[str]:  # noqa: ARG002 - it has but one way
        """Delete what succeeded, its fastest way."""
        return [
            *("procrastinate", "--app", "support.procrastinate_app.app", "worker", "--queues", "bench"),
            *("--concurrency", str(slots), "--delete-jobs", "successful"),
        ]

    def worker_environment(self) -> Mapping[str, str]:
        """Take the database from the environment."""
        return {}

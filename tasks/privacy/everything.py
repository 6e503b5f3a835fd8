"""Forgets a whole organization: its row stays, without a name, with the chain of the log and a proof."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import cast, func, literal, null, select, update
from sqlalchemy.dialects.postgresql import REGCLASS
from sqlalchemy.types import Text

from models.history import LIVING_STATES
from models.job import Job
from models.organization import Organization
from models.registry import load_tables
from tasks.privacy.task import Erasure

KEPT = frozenset({"organizations", "audit_log", "audit_heads", "audit_details", "audit_names"})
"""Not emptied as tables: the organization loses its name, the log what stands beside its chain."""
NOBODY = "erased"


def close(erasure: Erasure) -> Mapping[str, int]:
    """Let nobody in any more, and stop every other job."""
    with erasure.transaction() as session:
        session.execute(
            update(Organization)
            .values(name=NOBODY, plan_overrides={}, deleted_at=datetime.now(UTC))
            .execution_options(include_deleted=True, synchronize_session=False)
        )
        others = session.scalars(
            select(Job.id).where(Job.state.in_(LIVING_STATES), Job.id != erasure.job.claim.job_id)
        ).all()
        for job_id in others:
            session.execute(select(func.app.cancel_job(cast(null(), Text), job_id)))
    return {"jobs_cancelled": len(others)}


def empty_tables(erasure: Erasure) -> Mapping[str, Any]:
    """Remove every row of every table, children first."""
    removed = Counter[str]()
    for table in reversed(load_tables().sorted_tables):
        if table.name in KEPT:
            continue
        erasure.job.check()
        with erasure.transaction() as session:
            erasure.take_time(session)
            target = cast(literal(f"public.{table.name}"), REGCLASS)
            emptied = func.app.empty_table(target, erasure.request_id, erasure.job.claim.job_id)
            removed[str(table.name)] += session.scalar(select(emptied)) or 0
    with erasure.transaction() as session:
        forgotten = session.scalar(select(func.app.forget_audit(cast(null(), Text), erasure.request_id)))
    return {"rows": {table: count for table, count in removed.items() if count}, "audit_entries": forgotten}

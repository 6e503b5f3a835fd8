"""The body of `analytics.rollup`."""

from tasks.analytics_rollups.retention import remove_expired
from tasks.analytics_rollups.rollup import run_pass
from tasks.catalog import ROLLUP
from tasks.payloads import Rollup
from worker.context import Completion, DatabaseJob
from worker.job import runs


@runs(ROLLUP)
def roll_up(job: DatabaseJob, payload: Rollup) -> Completion:  # noqa: ARG001 - a pass counts all it safely can, which covers any `until`
    """Bring the organization's rollups up to date; the job's completion commits with them."""
    organization_id = job.claim.organization_id
    done = run_pass(job.session, organization_id)
    removed = remove_expired(job.session, organization_id)
    return Completion(
        {
            "buckets": done.buckets,
            "days": done.days,
            "earliest": done.earliest.isoformat() if done.earliest else None,
            "latest": done.latest.isoformat() if done.latest else None,
            "watermark": done.until,
            "removed": removed,
        }
    )

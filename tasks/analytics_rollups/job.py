"""The body of `analytics.rollup`."""

from tasks.analytics_rollups.rollup import run_pass
from tasks.catalog import ROLLUP
from tasks.payloads import Rollup
from worker.context import Completion, DatabaseJob
from worker.job import runs


@runs(ROLLUP)
def roll_up(job: DatabaseJob, payload: Rollup) -> Completion:  # noqa: ARG001 - a pass counts all it safely can, which covers any `until`
    """Bring the organization's buckets up to date; the job's completion commits with them."""
    done = run_pass(job.session, job.claim.organization_id)
    return Completion(
        {
            "buckets": done.buckets,
            "earliest": done.earliest.isoformat() if done.earliest else None,
            "latest": done.latest.isoformat() if done.latest else None,
            "watermark": done.until,
        }
    )

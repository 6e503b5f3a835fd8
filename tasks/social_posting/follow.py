"""What follows a published post: jobs that fetch what its platform counts of it."""

from datetime import UTC, datetime

import structlog

from config.settings import get_settings
from models.organization import load_tenant
from models.session import get_database
from tasks.catalog import FETCH_METRICS
from tasks.payloads import FetchMetrics
from tasks.social_posting.post import Post
from worker.context import OutsideJob
from worker.refusal import SubmitError
from worker.submit import Submission, submit

log = structlog.get_logger(__name__)

ROUNDS = (1, 24, 168)
"""When to fetch, as multiples of the setting: after an hour, a day and a week."""


def plan_metrics(job: OutsideJob, post: Post, *, number: int = 0) -> None:
    """Submit the job that fetches the post's metrics; the same one however often the post's own job runs.

    A plan that has no room for it leaves the post published and its metrics unfetched.
    """
    after = get_settings().metrics_after
    if not after:
        return
    database, organization_id = get_database(), job.claim.organization_id
    tenant = load_tenant(database, organization_id)
    if tenant is None:
        return
    submission = Submission(
        kind=FETCH_METRICS,
        payload=FetchMetrics(post_id=post.id, round=number),
        run_at=datetime.now(UTC) + after * ROUNDS[number],
        idempotency_key=f"metrics/{post.id}/{number}",
    )
    try:
        submit(database, tenant, [submission])
    except SubmitError as error:
        # A repeated run names another moment for the same key: the job is there.
        log.info("metrics not planned", post=str(post.id), reason=type(error).__name__)

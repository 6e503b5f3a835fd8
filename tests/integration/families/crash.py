"""Kill the process in the middle of publishing a post: run as ``python -m tests.integration.families.crash``.

Arguments: organization id, job id, account id, text, the step before which the process kills itself, and the
medium that goes with the post, if any.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy.orm import Session

from models.session import get_database, tenant_session
from tasks.payloads import Media, PublishPost
from tasks.social_posting import job
from worker.context import Claim, OutsideJob

PUBLISHING = ("putRecord", "/statuses", "/tweets", "/posts", "/feed", "/media_publish", "/threads_publish")
"""How the address of the call ends that makes a post visible."""

STEPS = ("before intent", "after intent", "after remote commit", "before local commit")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(organization_id: str, job_id: str, account_id: str, text: str, step: str, *assets: str) -> None:
    """Publish, and die before *step* is over."""
    checks = 0

    def check() -> None:
        nonlocal checks
        checks += 1
        if (checks, step) in ((1, "before intent"), (2, "after intent")):
            die()

    @contextmanager
    def transaction() -> Iterator[Session]:
        with tenant_session(get_database(), UUID(organization_id)) as session:
            yield session
            session.flush()
            if step == "before local commit" and session.info.get("published"):
                die()

    real_send = httpx.Client.send

    def send(self: httpx.Client, request: httpx.Request, **details: Any) -> httpx.Response:
        response = real_send(self, request, **details)
        publishes = request.method == "POST" and request.url.path.endswith(PUBLISHING)
        if publishes and step == "after remote commit":
            die()
        return response

    httpx.Client.send = send  # type: ignore[method-assign]
    real_write = job.write_published

    def write_published(session: Session, *rest: Any) -> None:
        real_write(session, *rest)
        session.info["published"] = True

    job.write_published = write_published  # type: ignore[attr-defined]
    claim = Claim(UUID(organization_id), UUID(job_id), "social.publish_post", 1, 8, {}, datetime.now(UTC))
    media = tuple(Media(asset_id=UUID(asset)) for asset in assets)
    payload = PublishPost(account_id=UUID(account_id), text=text, media=media)
    job.publish(OutsideJob(claim, transaction, check), payload)


if __name__ == "__main__":
    main(*sys.argv[1:])

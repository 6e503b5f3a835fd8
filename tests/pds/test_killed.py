"""Each post is on the server once, wherever the process that publishes it is killed.

Every post is killed (or loses its answer) at its point in its first attempt, in a process of its own that
claims and runs the job as a worker does; the lease lapses, the relay requeues the job, and another process
runs the next attempt.
"""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from uuid import UUID

import pytest
from PIL import Image
from sqlalchemy import func, select
from uuid_utils.compat import uuid7

from config.settings import ROOT, Settings
from models.content import ContentAsset
from models.job import Job, JobLease, JobState
from models.organization import Tenant
from models.session import Database, RelayDatabase, tenant_session
from models.social import PostState, SocialAccount, SocialPost
from tasks.catalog import PUBLISH_POST
from tasks.media_store import MediaStore, key_of
from tasks.payloads import Media, PublishPost
from tests.pds.point import Point
from tests.pds.server import Owner, Server
from tests.support import outcome
from tests.support.wait import wait_until
from worker.pointer import make_pointer
from worker.publish import Publisher
from worker.relay import requeue_lapsed
from worker.submit import Submission, submit

POSTS = int(os.environ.get("PDS_POSTS", "20"))
"""At each point; a hundred take some minutes: ``PDS_POSTS=100 pytest tests/pds/test_killed.py``."""
ACCOUNTS = 5
"""At each point; each account's posts go out in their order."""
LEASE = {"GENIUS_LEASE_TIME": "3"}
NURSERIES = 2
ROUNDS = 5
"""A machine that stands still for longer than a lease costs an attempt, as it should."""
POINTS = [point for point in Point if point is not Point.NONE]

Connect = Callable[[Tenant, Server, Owner], SocialAccount]


class Nursery:
    """A process that runs attempts, one after the other."""

    def __init__(self, environment: dict[str, str], exits: ExitStack) -> None:
        self._process = exits.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "tests.pds.nursery"],
                cwd=ROOT,
                env=os.environ | environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )

    def run(self, arguments: tuple[object, ...], point: Point) -> int:
        """Run an attempt to its end or to *point*; returns how its process ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"arguments": arguments, "point": point}) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@dataclass
class Line:
    """One account and its posts, all killed at one point."""

    point: Point
    owner: Owner
    account: SocialAccount
    jobs: list[UUID]


@contextmanager
def nurseries(environment: dict[str, str]) -> Iterator[list[Nursery]]:
    with ExitStack() as exits:
        yield [Nursery(environment, exits) for _ in range(NURSERIES)]


@pytest.fixture
def tenant(organization: Callable[..., Tenant]) -> Tenant:
    return organization(plan="enterprise")


def library(database: Database, tenant: Tenant, settings: Settings) -> UUID:
    """Put a picture into the tenant's library."""
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), "green").save(picture, "PNG")
    asset_id = uuid7()
    key = key_of(tenant.organization_id, asset_id)
    path = MediaStore(settings.media_directory).path(tenant.organization_id, key)
    path.parent.mkdir(parents=True)
    path.write_bytes(picture.getvalue())
    with tenant_session(database, tenant.organization_id) as session:
        session.add(
            ContentAsset(
                organization_id=tenant.organization_id,
                id=asset_id,
                kind="image",
                title="green",
                media_type="image/png",
                byte_size=len(picture.getvalue()),
                storage_key=key,
                width=64,
                height=64,
            )
        )
    return asset_id


def pending(database: Database, tenant: Tenant) -> dict[UUID, Job]:
    """Return the jobs that wait for an attempt."""
    with tenant_session(database, tenant.organization_id) as session:
        return {job.id: job for job in session.scalars(select(Job).where(Job.state == JobState.QUEUED))}


@pytest.mark.timeout(900)
def test_posts_are_published_once_wherever_their_process_is_killed(  # noqa: C901 - one scene
    pds: Server,
    database: Database,
    relay_database: RelayDatabase,
    settings: Settings,
    environment: dict[str, str],
    tenant: Tenant,
    connect: Connect,
) -> None:
    picture = library(database, tenant, settings)
    lines = [line_of(pds, connect, tenant, point, number) for point in POINTS for number in range(ACCOUNTS)]
    publisher = Publisher(settings)
    for line in lines:
        attached = (Media(asset_id=picture),) if line.point is Point.DURING_UPLOAD else ()
        work = [
            Submission(
                PUBLISH_POST, PublishPost(account_id=line.account.id, text=f"post {number}", media=attached)
            )
            for number in range(POSTS // ACCOUNTS)
        ]
        line.jobs = [job.id for job in submit(database, tenant, work, publisher=publisher)]
    secret = settings.pointer_secret.get_secret_value().encode()

    def run(nursery: Nursery, job: Job, point: Point) -> int:
        pointer = make_pointer(
            tenant.organization_id, job.id, kind=job.kind, attempts_made=job.attempt, due_at=None
        )
        return nursery.run(pointer.sign(secret), point)

    def run_all(crew: list[Nursery], work: list[tuple[Job, Point]]) -> dict[UUID, int]:
        """Run attempts, shared among the crew; tells how the process of each ended."""

        def run_share(number: int) -> list[tuple[UUID, int]]:
            return [(job.id, run(crew[number], job, point)) for job, point in work[number::NURSERIES]]

        with ThreadPoolExecutor(NURSERIES) as threads:
            return {job: code for share in threads.map(run_share, range(NURSERIES)) for job, code in share}

    def nothing_is_leased() -> bool:
        with tenant_session(database, tenant.organization_id) as session:
            lapsed = select(func.count()).select_from(JobLease)
            requeue_lapsed(relay_database)
            return session.scalars(lapsed).one() == 0

    trusted = {"GENIUS_TRUSTED_SERVERS": f'["{pds.url}"]'}
    with nurseries(environment | LEASE | trusted) as crew:
        for number in range(POSTS // ACCOUNTS):
            targets = {line.jobs[number]: line.point for line in lines}
            for _ in range(ROUNDS):
                heads = pending(database, tenant)
                codes = run_all(crew, [(heads[job], point) for job, point in targets.items()])
                targets = {
                    job: point for job, point in targets.items() if codes[job] != (-9 if point.kills else 0)
                }
                wait_until(nothing_is_leased, timeout=60)
                if not targets:
                    break
            assert not targets, codes
            for _ in range(ROUNDS):
                again = pending(database, tenant)
                late = [again[line.jobs[number]] for line in lines if line.jobs[number] in again]
                run_all(crew, [(job, Point.NONE) for job in late])
                wait_until(nothing_is_leased, timeout=60)
    assert outcome.states(database, tenant) == {"succeeded": POSTS * len(POINTS)}
    found = dict.fromkeys(POINTS, 0)
    for line in lines:
        texts = pds.texts(line.owner)
        assert texts == [f"post {number}" for number in range(POSTS // ACCOUNTS)], line.point
        found[line.point] += len(texts)
    assert found == dict.fromkeys(POINTS, POSTS)
    with tenant_session(database, tenant.organization_id) as session:
        posts = session.scalars(select(SocialPost)).all()
    assert {post.state for post in posts} == {PostState.PUBLISHED}
    assert len({post.remote_id for post in posts}) == POSTS * len(POINTS)


def line_of(pds: Server, connect: Connect, tenant: Tenant, point: Point, number: int) -> Line:
    owner = pds.register(f"k{POINTS.index(point)}-{number}-{uuid7().hex[-8:]}.test")
    return Line(point, owner, connect(tenant, pds, owner), [])

"""At every step of a job's life, one by one: the process is killed, loses its connection, or stands still."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import httpx
import psutil
import pytest
import redis
from sqlalchemy import func, select, update
from uuid_utils.compat import uuid7

from config.celery import LANES
from config.settings import Settings
from models.job import Job, JobEvent, JobLease
from models.organization import Tenant
from models.schedule import Schedule, ScheduleRun
from models.session import Database, tenant_session
from models.usage import UsageRecord
from ops.port import LOOPBACK, free_port
from ops.process import ChildProcess
from ops.token import mint_token
from tasks.catalog import PUBLISH_POST
from tasks.payloads import PublishPost
from tests.chaos.arm import Arm, Mode, has_struck, lay
from tests.chaos.audit import jobs_in
from tests.chaos.nursery import faulty_process
from tests.chaos.step import (
    FIRE_STEPS,
    OUTBOX_STEPS,
    REBUILD_STEPS,
    REQUEUE_STEPS,
    SUBMIT_STEPS,
    WORKER_STEPS,
    Step,
    Work,
)
from tests.integration.families.stand_in import StandIn, run_stand_in
from tests.support import outcome
from tests.support.kinds import ASK_REMOTE, INCLUDE, LEAVE_BRIEFLY, LEAVE_CAMPAIGN, Ask, Leave
from tests.support.service import OWN_SCHEDULES, Services
from tests.support.wait import StillFalseError, wait_until
from worker.fairshare.queue import FairQueue
from worker.fairshare.script import load
from worker.publish import GENERATION_KEY, Publisher
from worker.submit import Submission, submit

SHORT = {"GENIUS_LEASE_TIME": "1.5", "GENIUS_RELAY_INTERVAL": "0.2", **OWN_SCHEDULES}
WITHIN_S = 90.0
MOST_SUBMISSIONS = 500
SLOTS = {Mode.KILLED: "4", Mode.DISCONNECTED: "4", Mode.STOPPED: "16"}
"""Of a worker: some stay free while others stand still."""
RETRIES = 5
"""A process that lost Redis leaves publishing to the relay for a second: a later attempt meets the fault."""

lost = pytest.mark.parametrize("mode", [Mode.KILLED, Mode.DISCONNECTED])


@pytest.fixture
def tenant(organization: Callable[..., Tenant]) -> Tenant:
    return organization(plan="enterprise")


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(str(settings.redis_url)) as client:
        for verb in ("enqueue", "finish", "reserve"):  # the first use of a script takes two commands
            client.script_load(load(verb).text)
        yield client


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with run_stand_in() as stand_in:
        yield stand_in


class Scene:
    """One tenant, its jobs, and processes in which faults strike."""

    def __init__(
        self, database: Database, tenant: Tenant, client: redis.Redis, folder: Path, mode: Mode
    ) -> None:
        self.database = database
        self.tenant = tenant
        self.client = client
        self.faults = folder / "faults"
        self.faults.mkdir()
        self.mode = mode

    def lay(self, step: Step, *tokens: object) -> None:
        """Let the fault of *step* strike what is done with one of *tokens*."""
        lay(
            self.faults, step.name, Arm(step.act, step.moment, self.mode, tuple(str(each) for each in tokens))
        )

    def struck(self, step: Step) -> bool:
        return has_struck(self.faults, step.name)

    def strike(self, step: Step) -> None:
        """Wait until the fault of *step* has struck."""
        wait_until(lambda: self.struck(step), timeout=WITHIN_S, message=f"the fault at {step.name!r} struck")

    def wait_for_the_end(self) -> None:
        """Wait until all has ended; if something does not, each step tells of its own."""
        with suppress(StillFalseError):
            wait_until(self.is_over, timeout=WITHIN_S)

    def is_over(self) -> bool:
        return outcome.all_ended(self.database, [self.tenant]) and not self.in_lanes()

    def start_beat(self, services: Services, environment: dict[str, str]) -> None:
        """Start a beat and wait until it knows this Redis: in its first pass it would mend what is lost."""
        services.beat(environment)
        wait_until(lambda: self.client.get(GENERATION_KEY), timeout=WITHIN_S)

    def in_lanes(self) -> int:
        return sum(jobs_in(FairQueue(self.client, lane)) for lane in LANES)

    def story(self, job_id: UUID) -> "Story":
        with tenant_session(self.database, self.tenant.organization_id) as session:
            job = session.get_one(Job, (self.tenant.organization_id, job_id))
            events = session.scalars(select(JobEvent.state).where(JobEvent.job_id == job_id)).all()
            ledger = session.scalars(
                select(func.count())
                .select_from(UsageRecord)
                .where(UsageRecord.job_id == job_id, UsageRecord.meter == "jobs_month")
            ).one()
        return Story(job.state, Counter(events)["succeeded"], ledger)

    def effects(self) -> Counter[str]:
        return outcome.campaigns_left(self.database, self.tenant)

    def assert_nothing_is_left(self) -> None:
        # A message that the relay was about to publish once more is dropped when it comes.
        wait_until(self.is_over, timeout=WITHIN_S)
        assert outcome.leftovers(self.database, self.tenant) == {"leases": 0, "outbox": 0, "holds": 0}
        assert [FairQueue(self.client, lane).audit() for lane in LANES] == [0] * len(LANES)
        assert [self.client.hlen(FairQueue(self.client, lane).keys.of("dead")) for lane in LANES] == [0] * 5


class Story(tuple[str, int, int]):
    """State of a job, how often it succeeded, and its rows in the ledger."""

    __slots__ = ()

    def __new__(cls, state: str, successes: int, charged: int) -> Self:
        return super().__new__(cls, (state, successes, charged))


SUCCEEDED_ONCE = Story("succeeded", 1, 1)
DIED = Story("dead", 0, 0)


@pytest.fixture
def scene(database: Database, tenant: Tenant, client: redis.Redis, tmp_path: Path, mode: Mode) -> Scene:
    return Scene(database, tenant, client, tmp_path, mode)


def work_of(step: Step, account_id: UUID | None) -> Submission:
    """Return a job that passes *step*; what it leaves is named after the step."""
    match step.work:
        case Work.PLAIN | Work.LONG:
            sleep_ms = 1200 if step.work is Work.LONG else 0
            return Submission(LEAVE_CAMPAIGN, Leave(name=step.name, sleep_ms=sleep_ms))
        case Work.FAILS_ONCE:
            return Submission(LEAVE_CAMPAIGN, Leave(name=step.name, failures=RETRIES))
        case Work.REFUSED_ONCE:
            return Submission(ASK_REMOTE, Ask(name=step.name, refusals=RETRIES, after_ms=400))
        case Work.FAILS_FOR_GOOD:
            return Submission(LEAVE_CAMPAIGN, Leave(name=step.name, failures=100, permanent=True))
        case Work.BRIEF:
            return Submission(LEAVE_BRIEFLY, Leave(name=step.name))
        case Work.POST:
            return Submission(PUBLISH_POST, PublishPost(account_id=account_id, text=step.name))


@pytest.mark.parametrize("mode", Mode)
def test_at_every_step_of_a_worker(
    scene: Scene,
    settings: Settings,
    services: Services,
    stand_in: StandIn,
    mode: Mode,
    subtests: pytest.Subtests,
) -> None:
    steps = [step for step in WORKER_STEPS if mode in step.modes]
    # An account for each post: posts of one go out one after the other, and each of these is held up.
    handles = [f"shop{number}.test" for number, step in enumerate(steps) if step.work is Work.POST]
    accounts = [stand_in.connect(scene.database, scene.tenant, "bluesky", handle) for handle in handles]
    waiting = iter(accounts)
    told = SHORT | {"GENIUS_STAND_IN_URL": stand_in.url}
    scene.start_beat(services, told)
    work = [work_of(step, next(waiting).id if step.work is Work.POST else None) for step in steps]
    jobs = [job.id for job in submit(scene.database, scene.tenant, work, publisher=Publisher(settings))]
    for step, job in zip(steps, jobs, strict=True):
        scene.lay(step, job, step.name)
    pool = ("-P", "prefork", "-c", SLOTS[mode], "-Q", ",".join(LANES))
    command = ["-A", "worker.app", "worker", *pool, *INCLUDE]
    worker = faulty_process(services, scene.faults, "celery", command, told)
    for step in steps:
        scene.strike(step)
    scene.wait_for_the_end()
    if mode is Mode.STOPPED:
        worker.stop()  # which waits for those that stood still to go on and do their worst
        services.worker(pool="threads", concurrency=2, options=INCLUDE, environment=told)
        scene.wait_for_the_end()

    effects, posts = (
        scene.effects(),
        Counter(text for handle in handles for text in stand_in.texts("bluesky", handle)),
    )
    for step, job in zip(steps, jobs, strict=True):
        with subtests.test(step.name):
            dies = step.work is Work.FAILS_FOR_GOOD
            assert scene.story(job) == (DIED if dies else SUCCEEDED_ONCE)
            left = posts if step.work is Work.POST else effects
            assert left[step.name] == (0 if dies else 1)
    scene.assert_nothing_is_left()


@lost
def test_at_every_step_of_a_submission(
    scene: Scene, settings: Settings, services: Services, mode: Mode, subtests: pytest.Subtests
) -> None:
    port = free_port()
    command = ["tests.chaos.intake:app", "--host", LOOPBACK, "--port", str(port), "--no-access-log"]
    faulty_process(services, scene.faults, "uvicorn", command, SHORT)
    scene.start_beat(services, SHORT)
    services.worker(pool="threads", concurrency=2, options=INCLUDE, environment=SHORT)
    url = f"http://{LOOPBACK}:{port}/api/v1/jobs"
    token = {"Authorization": f"Bearer {mint_token(settings, scene.tenant)}"}
    jobs: dict[Step, list[UUID]] = {step: [] for step in SUBMIT_STEPS}
    for step in SUBMIT_STEPS:
        scene.lay(step)
        while not scene.struck(step):
            assert len(jobs[step]) < MOST_SUBMISSIONS, f"no fault struck at {step.name!r}"
            name = f"{step.name}, job {len(jobs[step])}"
            key = {"Idempotency-Key": name.replace(" ", "-")}
            body = {"kind": LEAVE_CAMPAIGN.name, "payload": {"name": name}}
            answer = wait_until(partial(accepted, url, token | key, body), WITHIN_S)
            jobs[step].append(UUID(answer))
    scene.wait_for_the_end()

    effects = scene.effects()
    for step in SUBMIT_STEPS:
        with subtests.test(step.name):
            assert {scene.story(job) for job in jobs[step]} == {SUCCEEDED_ONCE}
            left = [effects[f"{step.name}, job {number}"] for number in range(len(jobs[step]))]
            assert left == [1] * len(jobs[step])
    total = sum(len(of_step) for of_step in jobs.values())
    assert outcome.states(scene.database, scene.tenant) == Counter(succeeded=total)
    scene.assert_nothing_is_left()


def accepted(url: str, headers: dict[str, str], body: dict[str, Any]) -> str | None:
    """Return the id of the job; None if the answer leaves open what was done."""
    try:
        answer = httpx.post(url, headers=headers, json=body, timeout=10)
    except httpx.TransportError:
        return None
    assert answer.status_code == httpx.codes.ACCEPTED or answer.is_server_error, answer.text
    return answer.json()["id"] if answer.is_success else None


@lost
def test_at_every_step_of_firing_a_schedule(
    scene: Scene, services: Services, mode: Mode, subtests: pytest.Subtests
) -> None:
    faulty_process(services, scene.faults, "celery", ["-A", "worker.app", "beat", "--pidfile="], SHORT)
    schedules = {step: uuid7() for step in FIRE_STEPS}
    for step, schedule in schedules.items():
        scene.lay(step, *([schedule] if step.act == "fire" else []))
        make_schedule(scene, schedule)
        scene.strike(step)
    services.worker(pool="threads", concurrency=2, environment=SHORT)
    wait_until(lambda: len(runs(scene)) == len(schedules), timeout=WITHIN_S)
    scene.wait_for_the_end()

    jobs_of = runs(scene)
    for step, schedule in schedules.items():
        with subtests.test(step.name):
            [job] = jobs_of[schedule]
            assert scene.story(job) == SUCCEEDED_ONCE
    assert outcome.states(scene.database, scene.tenant) == Counter(succeeded=len(schedules))
    scene.assert_nothing_is_left()


def make_schedule(scene: Scene, schedule_id: UUID) -> None:
    """Make a schedule that is due now, and again tomorrow."""
    now = datetime.now(UTC)
    with tenant_session(scene.database, scene.tenant.organization_id) as session:
        session.add(
            Schedule(
                organization_id=scene.tenant.organization_id,
                id=schedule_id,
                name="daily",
                kind="quota.account",
                payload={},
                interval_seconds=24 * 3600,
                time_zone="UTC",
                starts_at=now,
                next_nominal=now,
            )
        )


def runs(scene: Scene) -> dict[UUID, list[UUID]]:
    """Return the jobs that each schedule got."""
    found: dict[UUID, list[UUID]] = {}
    with tenant_session(scene.database, scene.tenant.organization_id) as session:
        for run in session.scalars(select(ScheduleRun)):
            assert run.job_id is not None, run.reason
            found.setdefault(run.schedule_id, []).append(run.job_id)
    return found


@lost
def test_at_every_step_of_the_relay(
    scene: Scene,
    settings: Settings,
    services: Services,
    client: redis.Redis,
    mode: Mode,
    subtests: pytest.Subtests,
) -> None:
    command = ["-A", "worker.app", "beat", "--pidfile="]
    parent = faulty_process(services, scene.faults, "celery", command, SHORT)
    wait_until(lambda: client.get(GENERATION_KEY), timeout=WITHIN_S)
    away = Publisher(settings.model_copy(update={"redis_url": f"redis://{LOOPBACK}:{free_port()}/0"}))
    with held_still(parent):  # or it takes up what it finds before the fault is laid
        boxed = {step: one(scene, step, away) for step in OUTBOX_STEPS}
        vanished = {step: one(scene, step, away) for step in REQUEUE_STEPS}
        for step, job in boxed.items():
            scene.lay(step, job)
        for job in vanished.values():
            vanish(scene, job)
        for step in REQUEUE_STEPS:
            scene.lay(step)
    for step in (*OUTBOX_STEPS, *REQUEUE_STEPS):
        scene.strike(step)
    waiting = {step: one(scene, step, Publisher(settings)) for step in REBUILD_STEPS}
    for step, job in waiting.items():
        scene.lay(step, *([job] if step.act == "publish" else []))
    client.flushdb()
    for step in REBUILD_STEPS:
        scene.strike(step)
    services.worker(pool="threads", concurrency=2, options=INCLUDE, environment=SHORT)
    scene.wait_for_the_end()

    for step, job in (boxed | vanished | waiting).items():
        with subtests.test(step.name):
            assert scene.story(job) == SUCCEEDED_ONCE
            assert scene.effects()[step.name] == 1
    scene.assert_nothing_is_left()


@contextmanager
def held_still(parent: ChildProcess) -> Iterator[None]:
    """Let the process that *parent* has forked do nothing meanwhile."""
    [child] = psutil.Process(parent.pid).children()
    child.suspend()
    yield
    child.resume()


def one(scene: Scene, step: Step, publisher: Publisher) -> UUID:
    """Submit the job of a step."""
    [job] = submit(
        scene.database, scene.tenant, [Submission(LEAVE_CAMPAIGN, Leave(name=step.name))], publisher=publisher
    )
    return job.id


def vanish(scene: Scene, job_id: UUID) -> None:
    """Let a worker claim a job and vanish, long ago; a stale row of the outbox must not stop the relay."""
    organization_id = scene.tenant.organization_id
    with tenant_session(scene.database, organization_id) as session:
        session.execute(update(Job).where(Job.id == job_id).values(state="running", attempt=1))
        session.add(
            JobLease(
                organization_id=organization_id,
                job_id=job_id,
                attempt=1,
                worker="gone",
                leased_until=datetime.now(UTC) - timedelta(seconds=1),
            )
        )

"""A message in the queue of another tenant runs nothing: who pays for an attempt is whose job it is."""

from collections import Counter
from collections.abc import Callable

import pytest
import redis

from config.settings import Settings
from models.organization import Tenant
from models.session import Database
from tests.support import outcome
from tests.support.kinds import INCLUDE, LEAVE_BRIEFLY, LEAVE_CAMPAIGN, Leave
from tests.support.service import Services
from tests.support.wait import wait_until
from worker.fairshare.queue import Entry, FairQueue, Finish, Outcome
from worker.job import JobKind
from worker.publish import Publisher
from worker.submit import Submission, submit


@pytest.mark.parametrize("kind", [LEAVE_CAMPAIGN, LEAVE_BRIEFLY], ids=["alone", "in a group"])
def test_a_message_moved_into_another_tenants_queue_is_dropped(
    database: Database,
    organization: Callable[..., Tenant],
    settings: Settings,
    services: Services,
    kind: JobKind[Leave],
) -> None:
    owner, payer = organization(name="owner"), organization(name="payer")
    submit(database, owner, [Submission(kind, Leave(name="x"))], publisher=Publisher(settings))
    with redis.Redis.from_url(str(settings.redis_url)) as client:
        queue = FairQueue(client, kind.lane)
        [job] = queue.reserve()
        queue.finish([Finish(job.token, Outcome.DROP)])
        entry = Entry(job.job, job.message.decode(), str(payer.organization_id), kind.name, must=True)
        queue.enqueue([entry])

    worker = services.worker(pool="threads", concurrency=2, options=INCLUDE)
    wait_until(lambda: b"forged message dropped" in worker.log.read_bytes(), 60)
    assert outcome.states(database, owner) == Counter(queued=1)
    assert outcome.campaigns_left(database, owner) == Counter()

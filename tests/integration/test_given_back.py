"""A message that is given back over and over, since Postgres is away, is never given up."""

from datetime import UTC, datetime

import redis

from config.celery import celery_settings
from config.settings import Settings
from worker.fairshare.options import Options
from worker.fairshare.queue import Entry, FairQueue, Finish, Finished, Outcome

HOURS_OF_TRIES = 3 * 3600 * 2
"""A message comes back about twice a second."""


def test_no_outage_of_postgres_is_so_long_that_the_queue_gives_a_message_up(settings: Settings) -> None:
    options = Options.of(celery_settings(settings)["broker_transport_options"])
    with redis.Redis.from_url(str(settings.redis_url)) as client:
        queue = FairQueue(client, "scoring", policy=options.policy)
        queue.enqueue([Entry("job:0", "message", due=datetime.now(UTC))])
        client.hset(queue.keys.of("tries"), "job:0", HOURS_OF_TRIES)

        [reserved] = queue.reserve()
        assert queue.finish([Finish(reserved.token, Outcome.RETRY)]) == [Finished.DONE]
        assert [each.job for each in queue.reserve()] == ["job:0"]

"""Redis killed while jobs are submitted: every submission answers 202 and every job runs."""

from collections import Counter
from collections.abc import Callable

import httpx

from config.settings import Settings
from models.organization import Tenant
from models.session import Database
from ops.stack import Stack
from ops.token import mint_token
from tests.support import outcome
from tests.support.service import Services
from tests.support.wait import wait_until

SHORT_LEASE = {"GENIUS_LEASE_TIME": "2", "GENIUS_RELAY_INTERVAL": "0.5"}
BODY = {"kind": "quota.account", "payload": {}}


def test_submissions_are_accepted_while_redis_is_away_and_run_once_it_is_back(
    database: Database,
    organization: Callable[..., Tenant],
    services: Services,
    settings: Settings,
    stack: Stack,
) -> None:
    tenant = organization(plan="enterprise")
    intake = services.intake(SHORT_LEASE)
    services.worker(pool="threads", concurrency=4, environment=SHORT_LEASE)
    services.beat(SHORT_LEASE)
    assert stack.embedded_redis is not None, "this test kills Redis: it needs the embedded one"
    statuses: Counter[int] = Counter()
    headers = {"Authorization": f"Bearer {mint_token(settings, tenant)}"}
    with httpx.Client(base_url=intake.url, headers=headers, timeout=60) as client:
        for number in range(60):
            if number == 20:
                stack.embedded_redis.kill()
            if number == 40:
                stack.embedded_redis.start()
            statuses[client.post("/api/v1/jobs", json=BODY).status_code] += 1

    assert statuses == Counter({202: 60})
    wait_until(lambda: outcome.states(database, tenant) == Counter(succeeded=60), timeout=120)
    assert outcome.successes(database, tenant) == Counter({1: 60})
    assert outcome.leftovers(database, tenant) == {"leases": 0, "outbox": 0, "holds": 0}

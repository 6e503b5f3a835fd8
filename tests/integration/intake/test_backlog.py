"""What a caller sees when too many of its organization's jobs wait."""

from collections.abc import Callable

import httpx
import pytest

from models.organization import Organization, Tenant
from models.session import Database, tenant_session
from tests.integration.intake.problems import refused

Headers = dict[str, str]
ROLLUP = {"kind": "analytics.rollup", "payload": {}}


@pytest.fixture
def narrow(database: Database, organization: Callable[..., Tenant]) -> Tenant:
    """An organization that may have three jobs waiting."""
    tenant = organization(name="Narrow")
    with tenant_session(database, tenant.organization_id) as session:
        session.get_one(Organization, tenant.organization_id).plan_overrides = {"max_backlog": 3}
    return tenant


def test_a_full_backlog_is_429_with_the_time_to_come_back(
    client: httpx.Client,
    sign: Callable[..., Headers],
    narrow: Tenant,
    recorded: Callable[[Tenant], dict[str, int]],
) -> None:
    headers = sign(narrow)
    batch = client.post("/api/v1/jobs/batch", json={"jobs": [ROLLUP] * 2}, headers=headers)
    assert batch.status_code == 202
    before = recorded(narrow)

    answer = client.post("/api/v1/jobs/batch", json={"jobs": [ROLLUP] * 2}, headers=headers)
    document = refused(answer, 429)
    assert (document["lane"], document["waiting"], document["limit"]) == ("analytics", 2, 3)
    assert document["type"] == "urn:genius:problem:backlog-full"
    assert answer.headers["ratelimit-limit"] == "3"
    assert answer.headers["ratelimit-remaining"] == "1"
    assert 1 <= int(answer.headers["retry-after"]) <= 600
    assert answer.headers["ratelimit-reset"] == answer.headers["retry-after"]
    assert recorded(narrow) == before

    assert client.post("/api/v1/jobs", json=ROLLUP, headers=headers).status_code == 202
    refused(client.post("/api/v1/jobs", json=ROLLUP, headers=headers), 429)
    kept_apart = client.post("/api/v1/jobs", json={"kind": "quota.account", "payload": {}}, headers=headers)
    assert kept_apart.status_code == 202

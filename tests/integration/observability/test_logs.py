"""The logs of one job are found by its id, in every process it passes; secrets and payloads are in none."""

import json

from config.settings import Settings
from tests.integration.observability.system import System, finished
from tests.support.wait import wait_until

ROLLUP = {"kind": "analytics.rollup", "payload": {}}
SCORE = {"kind": "leads.score", "payload": {"all": True}}


def test_the_logs_of_one_job_are_found_by_its_id_in_every_process(system: System) -> None:
    tenant = system.tenant()
    with system.client(tenant) as client:
        first = client.post("/jobs", json=ROLLUP).json()["id"]
        body, headers = {**SCORE, "after": first}, {"X-Request-ID": "one-job"}
        job_id = client.post("/jobs", json=body, headers=headers).json()["id"]  # its message is the relay's
        assert finished(client, job_id)["state"] == "succeeded"

    def lines() -> dict[str, list[dict[str, object]]] | None:
        found = {
            name: [line for line in system.lines(process) if job_id in json.dumps(line)]
            for name, process in (
                ("intake", system.intake),
                ("relay", system.beat),
                ("worker", system.worker),
            )
        }
        # The worker may be done before the relay says that it has published.
        whole = found["relay"] and any(line["event"] == "job succeeded" for line in found["worker"])
        return found if whole else None

    found = wait_until(lines, timeout=60)
    [recorded] = [line for line in found["intake"] if line["event"] == "jobs recorded"]
    assert (recorded["organization"], recorded["request_id"]) == (str(tenant.organization_id), "one-job")
    assert [line["event"] for line in found["relay"]] == ["jobs published"]
    [ended] = [line for line in found["worker"] if line["event"] == "job succeeded"]
    names = ("organization", "job", "kind", "attempt", "request_id")
    assert [ended[name] for name in names] == [
        str(tenant.organization_id),
        job_id,
        "leads.score",
        1,
        "one-job",
    ]


def test_no_log_has_a_secret_or_what_a_tenant_sent(system: System, settings: Settings) -> None:
    with system.client(system.tenant()) as client:
        token = client.headers["Authorization"].removeprefix("Bearer ")
        lead = {"external_id": "MARK-1", "email": "mark-2@example.org", "attributes": {"note": "MARK-3"}}
        client.post("/leads/import", json={"leads": [lead]}, params={"q": "MARK-4"})
        client.post("/jobs", json={"kind": "leads.score", "payload": {"MARK-5": "MARK-6"}})
        client.post("/jobs", json={"kind": "MARK-7", "payload": {}})
        client.post("/jobs", content=b'{"MARK-8')
        client.get("/jobs", headers={"Authorization": "Bearer MARK-9"})
        post = {"account_id": "01932c07-0000-7000-8000-000000000001", "text": "MARK-10"}
        answer = client.post("/jobs", json={"kind": "social.publish_post", "payload": post})
        job_id = client.post("/jobs", json=SCORE, headers={"Idempotency-Key": "MARK-11"}).json()["id"]
        finished(client, job_id)
        if answer.is_success:
            finished(client, answer.json()["id"])
    written = "\n".join(process.log.read_text() for process in system.processes)
    assert job_id in written
    assert "mark-" not in written.lower()
    secrets = [
        value.get_secret_value()
        for name in ("jwt_secret", "seal_secret", "pointer_secret", "credential_secret", "metrics_token")
        if (value := getattr(settings, name)) is not None
    ]
    passwords = [
        str(password)
        for url in (settings.database_url, settings.redis_url, settings.relay_database_url)
        if url is not None
        for password in [url.hosts()[0]["password"] if hasattr(url, "hosts") else url.password]
        if password
    ]
    assert len(passwords) >= 2
    for secret in (*secrets, *passwords, token, token.rpartition(".")[2]):
        assert secret not in written

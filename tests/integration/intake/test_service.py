"""The intake as a service: health, outages, what it shows and logs of itself."""

import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import redis

from config.settings import Settings
from models.organization import Tenant
from models.session import Database, open_relay_database
from tests.integration.intake.conftest import serving
from tests.integration.intake.problems import refused
from tests.support.wait import wait_until
from worker.relay_report import measure_lag, note_pass, read_report

Headers = dict[str, str]
ROLLUP = {"kind": "analytics.rollup", "payload": {}}
NOWHERE = 1
"""A port nobody listens on."""


def test_it_is_alive_and_ready(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready", "postgres": "up", "redis": "up"}


@pytest.fixture
def without_redis(settings: Settings) -> Iterator[httpx.Client]:
    away = settings.model_validate(settings.model_dump() | {"redis_url": f"redis://127.0.0.1:{NOWHERE}/0"})
    with serving(away) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


def test_without_redis_it_is_degraded_and_still_takes_jobs(
    without_redis: httpx.Client, as_acme: Headers, acme: Tenant, recorded: Callable[[Tenant], dict[str, int]]
) -> None:
    ready = without_redis.get("/readyz")
    assert (ready.status_code, ready.json()["redis"]) == (200, "away")
    answers = [without_redis.post("/api/v1/jobs", json=ROLLUP, headers=as_acme) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202] * 3
    assert recorded(acme)["outbox"] == 3
    job = answers[0].json()["id"]
    explained = without_redis.get(f"/api/v1/jobs/{job}/explain", headers=as_acme).json()
    assert explained["reason"] == "entering_queue"
    assert without_redis.post(f"/api/v1/jobs/{job}/cancel", headers=as_acme).status_code == 200


@pytest.fixture
def without_postgres(settings: Settings) -> Iterator[httpx.Client]:
    away = settings.model_validate(
        settings.model_dump() | {"database_url": f"postgresql://nobody@127.0.0.1:{NOWHERE}/none"}
    )
    with serving(away) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


def test_without_postgres_it_is_alive_not_ready_and_says_when_to_come_back(
    without_postgres: httpx.Client, as_acme: Headers
) -> None:
    assert without_postgres.get("/healthz").status_code == 200
    assert refused(without_postgres.get("/readyz"), 503)["postgres"] == "away"
    answer = without_postgres.post("/api/v1/jobs", json=ROLLUP, headers=as_acme)
    refused(answer, 503)
    assert int(answer.headers["retry-after"]) > 0


def test_jobs_reach_the_queue_when_redis_is_up(
    client: httpx.Client, as_acme: Headers, acme: Tenant, settings: Settings
) -> None:
    client.post("/api/v1/jobs", json=ROLLUP, headers=as_acme)
    with redis.Redis.from_url(str(settings.redis_url)) as connection:
        keys = b" ".join(connection.keys("*"))
    assert str(acme.organization_id).encode() in keys


def test_answers_carry_a_request_id_and_safe_headers(client: httpx.Client) -> None:
    answer = client.get("/healthz", headers={"X-Request-ID": "my-id.7"})
    assert answer.headers["x-request-id"] == "my-id.7"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("given", ["two words", "x" * 65, "a\tb", "a;b", '{"a":1}', ""])
def test_a_request_id_that_could_forge_a_log_line_is_replaced(client: httpx.Client, given: str) -> None:
    answer = client.get("/healthz", headers={"X-Request-ID": given})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


def test_metrics_have_bounded_labels(client: httpx.Client, as_acme: Headers) -> None:
    for n in range(5):
        client.get(f"/secret-path-{n}")
        client.request("PROPFIND", "/api/v1/jobs")
        client.get(f"/api/v1/jobs/01932c07-0000-7000-8000-00000000000{n}", headers=as_acme)
    wait_until(lambda: 'route="/api/v1/jobs/{job_id}",status="404"' in client.get("/metrics").text)
    text = client.get("/metrics").text
    assert 'route="unmatched"' in text
    assert "secret-path" not in text
    assert "PROPFIND" not in text
    assert "01932c07" not in text


def test_metrics_tell_how_far_the_relay_is_behind(
    client: httpx.Client, settings: Settings, database: Database
) -> None:
    relay = open_relay_database(settings)
    assert "genius_beats 0.0" in client.get("/metrics").text
    measure_lag(relay)
    note_pass(relay, {"published": 3, "runs_fired": 2})
    relay.engine.dispose()

    lines = client.get("/metrics").text.splitlines()
    told = dict(line.rsplit(" ", 1) for line in lines if line.startswith(("genius_beats", "genius_relay")))
    assert float(told["genius_beats"]) == 1
    assert 0 <= float(told["genius_relay_pass_age_seconds"]) < 30
    assert float(told['genius_relay_done_total{what="published"}']) == 3
    assert float(told['genius_relay_done_total{what="runs_fired"}']) == 2
    lag = read_report(database.engine).lag
    assert len(lag) == 11
    for name, measured in lag.items():
        unit = "_seconds" if name.startswith("oldest") else ""
        assert float(told[f"genius_relay_{name}{unit}"]) == measured


def test_a_log_line_names_the_organization_and_no_secret(
    client: httpx.Client, as_acme: Headers, acme: Tenant, log: io.StringIO
) -> None:
    body = {
        "kind": "social.publish_post",
        "payload": {"account_id": str(acme.organization_id), "text": "hush"},
    }
    client.post("/api/v1/jobs?note=hush", json=body, headers=as_acme | {"X-Request-ID": "seen-1"})

    def written() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in log.getvalue().splitlines()]
        return [line for line in lines if line["logger"] != "httpx"]  # this test's own client

    def told() -> list[dict[str, Any]]:
        return [
            line for line in written() if line.get("request_id") == "seen-1" and line["event"] == "request"
        ]

    [line] = wait_until(told)
    assert line["organization"] == str(acme.organization_id)
    assert (line["route"], line["method"], line["status"]) == ("/api/v1/jobs", "POST", 202)
    everything = json.dumps(written())
    assert "hush" not in everything
    assert as_acme["Authorization"].split(".")[-1] not in everything


def test_a_defect_is_answered_with_a_problem_and_logged(
    client: httpx.Client, as_acme: Headers, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("intake.routes.jobs.list_jobs", fail)
    document = refused(client.get("/api/v1/jobs", headers=as_acme), 500)
    assert "secret detail" not in json.dumps(document)
    assert document["request_id"] in log.getvalue()
    assert "ZeroDivisionError" in log.getvalue()


def test_one_key_sent_by_many_at_once_makes_one_job(
    client: httpx.Client, as_acme: Headers, acme: Tenant, recorded: Callable[[Tenant], dict[str, int]]
) -> None:
    barrier = threading.Barrier(8)

    def send(_: int) -> str:
        barrier.wait()
        headers = as_acme | {"Idempotency-Key": "once"}
        return str(client.post("/api/v1/jobs", json=ROLLUP, headers=headers).json()["id"])

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(send, range(8)))) == 1
    assert recorded(acme)["jobs"] == 1


LOGIN_PAGE = "/api/v1/branding/by-domain/{domain}"
"""Who has not signed in yet asks for it."""


def test_the_openapi_document_declares_every_refusal(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert "Problem" in document["components"]["schemas"]
    for path, methods in document["paths"].items():
        if not path.startswith("/api/"):
            continue
        for operation in methods.values():
            refusals = {"422", "429", "500", "503"}
            if path != LOGIN_PAGE:
                assert operation["security"] == [{"bearer": []}]
                refusals |= {"401", "403"}
            assert refusals <= set(operation["responses"])
            assert ("413" in operation["responses"]) == ("requestBody" in operation)
            assert ("404" in operation["responses"]) >= ("{" in path)
            for status, answer in operation["responses"].items():
                if status >= "4":
                    assert set(answer["content"]) == {"application/problem+json"}

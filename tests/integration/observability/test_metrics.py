"""What a running system exposes: enough to see who waits and why, and never a series for every tenant."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import yaml

from config.settings import ROOT
from models.organization import Tenant
from tests.integration.observability.exposition import Sample, samples, value
from tests.integration.observability.system import System, finished
from tests.support.promql import selectors
from tests.support.wait import StillFalseError, wait_until

SCORE = {"kind": "leads.score", "payload": {"all": True}}
RULES = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())
BOARDS = [json.loads(path.read_text()) for path in (ROOT / "deploy" / "grafana").glob("*.json")]
EXPRESSIONS = [
    *(rule["expr"] for group in RULES["groups"] for rule in group["rules"]),
    *(target["expr"] for board in BOARDS for panel in board["panels"] for target in panel["targets"]),
]


@pytest.fixture(scope="module")
def tenant(system: System) -> Tenant:
    return system.tenant("enterprise")


def test_a_worker_counts_what_became_of_its_jobs_whichever_of_its_processes_ran_them(
    system: System, tenant: Tenant
) -> None:
    before = samples(system.scrape()["worker"])
    with system.client(tenant) as client:
        jobs = client.post("/jobs/batch", json={"jobs": [SCORE] * 6}).json()["jobs"]
        for job in jobs:
            finished(client, job["id"])
    ended = {"kind": "leads.score", "plan": "enterprise", "ending": "succeeded"}

    def counted() -> list[Sample] | None:
        after = samples(system.scrape()["worker"])
        told = value(after, "genius_jobs_ended_total", **ended) - value(
            before, "genius_jobs_ended_total", **ended
        )
        return after if told == 6 else None

    after = wait_until(counted)
    lane = {"lane": "scoring", "plan": "enterprise"}
    assert value(after, "genius_job_wait_seconds_count", **lane) >= 6
    assert 0 < value(after, "genius_job_run_seconds_sum", kind="leads.score") < 60
    assert value(after, "genius_worker_seconds_total", **lane) > 0
    assert value(after, "genius_worker_slots") == 2
    assert value(after, "genius_worker_memory_bytes") > 50_000_000


def test_beat_looks_at_the_lanes_and_the_intake_tells_it(system: System) -> None:
    told = wait_until(
        lambda: [s for s in samples(system.scrape()["intake"]) if s.name == "genius_lane_tenants"], 60
    )
    assert {sample.label("lane") for sample in told} == {"social", "scoring", "analytics", "quota", "system"}
    exposed = samples(system.scrape()["intake"])
    assert value(exposed, "genius_redis_up") == 1
    assert value(exposed, "genius_lanes_age_seconds") < 60
    assert value(exposed, "genius_beats") == 1
    assert value(exposed, "genius_database_connections_limit") > 0


def test_refusals_are_counted_by_problem(system: System, tenant: Tenant) -> None:
    def refused() -> float:
        return value(samples(system.scrape()["intake"]), "genius_refusals_total", problem="invalid-request")

    before = refused()
    with system.client(tenant) as client:
        client.post("/jobs", json={"kind": "no.such", "payload": {}})
    wait_until(lambda: refused() == before + 1)


@pytest.mark.parametrize("shown", [None, "Bearer wrong", "Basic eA=="])
def test_without_the_token_nobody_gets_metrics(system: System, shown: str | None) -> None:
    answer = httpx.get(f"{system.url}/metrics", headers={} if shown is None else {"Authorization": shown})
    assert answer.status_code == 401
    assert "genius_" not in answer.text


BY_PROMETHEUS = {"up"}
LABELS_BY_PROMETHEUS = {"job", "instance"}


def test_all_that_alerts_and_dashboards_ask_for_is_exposed(system: System, tenant: Tenant) -> None:
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    with system.client(tenant) as client:
        client.post("/jobs", json={**SCORE, "run_at": later})
        finished(client, client.post("/jobs", json=SCORE).json()["id"])

    asked = [asked for expression in EXPRESSIONS for asked in selectors(expression)]
    assert len(asked) > 80

    def missing() -> set[str | tuple[str, str]]:
        found: dict[str, set[str]] = {}
        for sample in samples(*system.scrape().values()):
            found.setdefault(sample.name, set()).update(name for name, _ in sample.labels)
        names = {name for name, _ in asked} | {"genius_tenant_waiting"}
        labels = {
            (name, label)
            for name, labels in asked
            for label in labels.keys() - LABELS_BY_PROMETHEUS - found.get(name, set())
        }
        return (names - found.keys() - BY_PROMETHEUS) | labels

    with suppress(StillFalseError):  # each process tells in its own time what it has seen
        wait_until(lambda: not missing(), timeout=60)
    assert missing() == set()


def test_workers_name_no_tenant(system: System, tenant: Tenant) -> None:
    assert str(tenant.organization_id) not in system.scrape()["worker"]

"""The processes under watch, and how a test makes them work."""

import json
import re
from typing import Any

import httpx
from uuid_utils.compat import uuid7

from config.settings import Settings
from models.organization import Organization, Tenant, load_tenant
from models.session import Database, tenant_session
from ops.process import ChildProcess
from ops.token import mint_token
from tests.support.kinds import INCLUDE
from tests.support.service import Services
from tests.support.wait import wait_until

ENDED = {"succeeded", "dead", "cancelled"}


class System:
    """An intake, a worker of two processes and a beat."""

    def __init__(self, services: Services, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self.worker = services.worker(options=INCLUDE, wait=False)
        self.beat = services.beat()
        intake = services.intake()
        self.url, self.intake = intake.url, intake.process
        self.worker_metrics = wait_until(self._port, timeout=60)

    def _port(self) -> str | None:
        log = self.worker.fresh_log().decode()
        found = re.search(r'"port": (\d+).*metrics served|metrics served.*"port": (\d+)', log)
        return found and f"http://127.0.0.1:{found[1] or found[2]}/metrics"

    @property
    def processes(self) -> list[ChildProcess]:
        return [self.intake, self.worker, self.beat]

    def tenant(self, plan: str = "professional") -> Tenant:
        organization_id = uuid7()
        with tenant_session(self._database, organization_id) as session:
            session.add(
                Organization(organization_id=organization_id, name="Acme", plan=plan, status="active")
            )
        tenant = load_tenant(self._database, organization_id)
        assert tenant is not None
        return tenant

    def client(self, tenant: Tenant) -> httpx.Client:
        headers = {"Authorization": f"Bearer {mint_token(self._settings, tenant)}"}
        return httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=20)

    def scrape(self) -> dict[str, str]:
        """Return what the intake and the worker expose, as Prometheus reads it."""
        token = self._settings.metrics_token
        assert token is not None
        headers = {"Authorization": f"Bearer {token.get_secret_value()}"}
        return {
            "intake": httpx.get(f"{self.url}/metrics", headers=headers, timeout=20).raise_for_status().text,
            "worker": httpx.get(self.worker_metrics, timeout=20).raise_for_status().text,
        }

    def lines(self, process: ChildProcess) -> list[dict[str, Any]]:
        """Return what a process has logged."""
        written = process.log.read_text()
        return [json.loads(line) for line in written.splitlines() if line.startswith("{")]


def finished(client: httpx.Client, job_id: str) -> dict[str, Any]:
    """Wait until a job has ended."""

    def look() -> dict[str, Any] | None:
        job: dict[str, Any] = client.get(f"/jobs/{job_id}").json()
        return job if job["state"] in ENDED else None

    return wait_until(look, timeout=60)

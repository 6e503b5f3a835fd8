"""A stand-in server in its own process, and what a test asks of it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from config.settings import ROOT, get_settings
from models.organization import Tenant
from models.session import Database, tenant_session
from models.social import SocialAccount
from tasks.social_posting.account import store_tokens
from tasks.social_posting.platform import Tokens
from tasks.vault import Vault


@dataclass(frozen=True)
class StandIn:
    url: str
    http: httpx.Client

    def _ask(self, method: str, path: str, **json: Any) -> httpx.Response:
        answer = self.http.request(method, f"/admin/{path}", json=json or None)
        answer.raise_for_status()
        return answer

    def connect(
        self, database: Database, tenant: Tenant, platform: str, handle: str, **grant: Any
    ) -> SocialAccount:
        """Make an account there, and here with its tokens."""
        new = self._ask("POST", "accounts", platform=platform, handle=handle, **grant).json()
        row = SocialAccount(
            organization_id=tenant.organization_id,
            platform=platform,
            handle=handle,
            remote_id=new["identifier"],
            server_url="https://example.org",
        )
        with tenant_session(database, tenant.organization_id) as session:
            session.add(row)
            session.flush()
            expires_at = datetime.fromtimestamp(new["expires_at"], UTC)
            tokens = Tokens(new["access_token"], new["refresh_token"], expires_at)
            store_tokens(vault_of_this_test(), row, tokens)
        return row

    def plant(self, platform: str, kind: str, **details: Any) -> None:
        """Plant a fault."""
        self._ask("POST", "faults", platform=platform, kind=kind, **details)

    def change(self, platform: str, handle: str, **change: Any) -> None:
        self._ask("PATCH", f"accounts/{platform}/{handle}", **change)

    def behave(self, **change: Any) -> None:
        self._ask("PATCH", "behaviour", **change)

    def state(self, platform: str, handle: str) -> dict[str, Any]:
        state: dict[str, Any] = self._ask("GET", f"accounts/{platform}/{handle}").json()
        return state

    def texts(self, platform: str, handle: str) -> list[str]:
        """Return what the account published, oldest first."""
        return [record["text"] for record in self.state(platform, handle)["records"]]


def vault_of_this_test() -> Vault:
    return Vault([get_settings().credential_secret.get_secret_value().encode()])


@contextmanager
def run_stand_in() -> Iterator[StandIn]:
    """Run a server on a free port while the block runs."""
    command = [sys.executable, "-m", "ops.stand_in"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own module
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        transport = httpx.HTTPTransport(retries=50)
        try:
            with httpx.Client(base_url=url, transport=transport, timeout=60) as http:
                yield StandIn(url, http)
        finally:
            process.terminate()

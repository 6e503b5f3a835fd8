"""A real Bluesky server: installed once per checkout, started on loopback, asked for what it holds."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from uuid_utils.compat import uuid7

from config.settings import ROOT
from ops.port import LOOPBACK, free_port
from ops.process import ChildProcess

SOURCE = Path(__file__).parent / "server"
INSTALLED = ROOT / "var" / "pds"
POSTS = "app.bsky.feed.post"
PASSWORD = "a-password-for-tests"
ADMIN_PASSWORD = "an-admin-for-tests"
READY_WITHIN = timedelta(seconds=60)
OLDEST_NODE = 20
PAGE = 100
WRITES_AT_ONCE = 200


def missing() -> str | None:
    """Return why the server cannot run here, or None."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return "node and npm are not installed: the tests on a real Bluesky server are left out"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603 - found above
    if int(version.lstrip("v").partition(".")[0]) < OLDEST_NODE:
        return f"node is {version}, {OLDEST_NODE} is needed: the tests on a real Bluesky server are left out"
    return None


def install() -> Path:
    """Install the locked packages, once for all test processes of this checkout; returns where they are."""
    lock_file = SOURCE / "package-lock.json"
    name = hashlib.sha256(lock_file.read_bytes() + (SOURCE / "package.json").read_bytes()).hexdigest()[:16]
    directory = INSTALLED / name
    INSTALLED.mkdir(parents=True, exist_ok=True)
    with (INSTALLED / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "complete").exists():
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            for file in (lock_file, SOURCE / "package.json"):
                shutil.copy(file, directory)
            _npm_ci(directory)
            (directory / "complete").touch()
        # In one step: a server that another process starts right now reads the whole file.
        shutil.copy(SOURCE / "serve.mjs", directory / "serve.new")
        (directory / "serve.new").replace(directory / "serve.mjs")
    return directory


def _npm_ci(directory: Path) -> None:
    npm = shutil.which("npm")
    assert npm is not None, "asked for before"
    command = [npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)  # noqa: S603 - found above
    assert done.returncode == 0, f"npm ci failed:\n{done.stdout}\n{done.stderr}"


@dataclass(frozen=True)
class Owner:
    """An account on the server."""

    did: str
    handle: str
    access: str
    refresh: str


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    http: httpx.Client

    def register(self, handle: str) -> Owner:
        """Make an account; handles end in `.test`."""
        body = {"handle": handle, "email": f"{uuid7()}@example.test", "password": PASSWORD}
        session = self.ask("POST", "com.atproto.server.createAccount", json=body)
        return Owner(session["did"], session["handle"], session["accessJwt"], session["refreshJwt"])

    def ask(
        self,
        verb: str,
        method: str,
        *,
        token: str | None = None,
        admin: bool = False,
        **details: Any,
    ) -> dict[str, Any]:
        """Make one call, which has to succeed."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        auth = ("admin", ADMIN_PASSWORD) if admin else None
        answer = self.http.request(verb, f"/xrpc/{method}", headers=headers, auth=auth, **details)
        assert answer.is_success, f"{method}: {answer.status_code} {answer.text}"
        return dict(answer.json()) if answer.content else {}

    def records(self, owner: Owner) -> list[dict[str, Any]]:
        """Return every post of the account as `listRecords` tells them, oldest first."""
        query = {"repo": owner.did, "collection": POSTS, "limit": str(PAGE), "reverse": "true"}
        found: list[dict[str, Any]] = []
        while True:
            page = self.ask("GET", "com.atproto.repo.listRecords", params=query)
            found += page["records"]
            if "cursor" not in page:
                return found
            query["cursor"] = page["cursor"]

    def texts(self, owner: Owner) -> list[str]:
        """Return the texts of the account's posts, oldest first."""
        return [record["value"]["text"] for record in self.records(owner)]

    def fill(self, owner: Owner, posts: int) -> None:
        """Make posts without us, many in a call; each takes three points as one alone does."""
        value = {"$type": POSTS, "text": "made elsewhere", "createdAt": "2026-01-31T12:00:00.000Z"}
        write = {"$type": "com.atproto.repo.applyWrites#create", "collection": POSTS, "value": value}
        while posts > 0:
            writes = [write] * min(posts, WRITES_AT_ONCE)
            body = {"repo": owner.did, "writes": writes}
            self.ask("POST", "com.atproto.repo.applyWrites", token=owner.access, json=body)
            posts -= len(writes)

    def revoke(self, owner: Owner) -> None:
        """End the account's session, as revoking its app password does."""
        self.ask("POST", "com.atproto.server.deleteSession", token=owner.refresh)

    def app_password(self, owner: Owner) -> str:
        """Make an app password."""
        body = {"name": f"genius {uuid7()}"}
        made = self.ask("POST", "com.atproto.server.createAppPassword", token=owner.access, json=body)
        return str(made["password"])

    def take_down(self, owner: Owner, *, applied: bool = True) -> None:
        """Take the account down, or let it come back."""
        subject = {"$type": "com.atproto.admin.defs#repoRef", "did": owner.did}
        body = {"subject": subject, "takedown": {"applied": applied}}
        self.ask("POST", "com.atproto.admin.updateSubjectStatus", admin=True, json=body)


@contextmanager
def running(directory: Path, **settings: str) -> Iterator[Server]:
    """Run a server with its data below *directory* while the block runs."""
    place, url = install(), f"http://{LOOPBACK}:{free_port()}"
    child = ChildProcess(
        "pds",
        [shutil.which("node") or "node", "serve.mjs"],
        log=directory / "pds.log",
        environment=_environment(directory, url) | settings,
        directory=place,
    )
    child.start()
    try:
        child.wait_ready(lambda: _answers(url), READY_WITHIN)
        with httpx.Client(base_url=url, timeout=60) as http:
            yield Server(url, http)
    finally:
        sys.stderr.write(child.log_tail())
        child.kill()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/xrpc/_health", timeout=2).is_success
    except httpx.TransportError:
        return False


def _environment(directory: Path, url: str) -> Mapping[str, str]:
    for folder in ("data", "blobs"):
        (directory / folder).mkdir(parents=True, exist_ok=True)
    directory_of_identities = str(free_port())
    return {
        "PATH": os.environ["PATH"],
        "PLC_PORT": directory_of_identities,
        "PDS_DID_PLC_URL": f"http://{LOOPBACK}:{directory_of_identities}",
        "PDS_HOSTNAME": "localhost",
        "PDS_PORT": url.rpartition(":")[2],
        "PDS_DATA_DIRECTORY": str(directory / "data"),
        "PDS_BLOBSTORE_DISK_LOCATION": str(directory / "blobs"),
        "PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX": "1" * 64,
        "PDS_DPOP_SECRET": "2" * 64,
        "PDS_JWT_SECRET": "3" * 64,
        "PDS_ADMIN_PASSWORD": ADMIN_PASSWORD,
        "PDS_INVITE_REQUIRED": "0",
        "PDS_DEV_MODE": "1",
        "PDS_DISABLE_SSRF_PROTECTION": "1",
        "PDS_RATE_LIMITS_ENABLED": "0",
        "LOG_ENABLED": "0",
    }

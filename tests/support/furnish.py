"""What a tenant makes through the front door: two and more of everything, with its marker in each text."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import httpx
from PIL import Image
from PIL.PngImagePlugin import PngInfo

API = "/api/v1"


class Owner(Protocol):
    """Whose things they are."""

    @property
    def marker(self) -> str: ...
    def headers(self) -> dict[str, str]: ...


def furnish(client: httpx.Client, owner: Owner, *, again: str = "") -> None:
    """Make them; *again* tells what is made from what was made before."""
    for path, body in _things(owner.marker, again):
        account = _post(client, owner, path, body).json()
    for number in range(2):
        post = {"account_id": account["id"], "text": f"{owner.marker}.post.{number}{again}"}
        _post(client, owner, "/social/posts", post)
        client.post(
            f"{API}/content/media",
            content=picture(number, owner.marker),
            params={"title": f"{owner.marker}.medium.{number}"},
            headers=owner.headers(),
        ).raise_for_status()


def job_key(owner: Owner, number: int) -> str:
    """Return the idempotency key with which a job was submitted."""
    return f"{owner.marker}.key.{number}"


def picture(number: int = 0, text: str = "") -> bytes:
    """Return a small picture, another one for each number, with a text between its bytes."""
    file, chunks = io.BytesIO(), PngInfo()
    chunks.add_text("Comment", text)
    Image.new("RGB", (40, 30), (number, 128, 0)).save(file, "PNG", pnginfo=chunks)
    return file.getvalue()


def _post(client: httpx.Client, owner: Owner, path: str, body: Any) -> httpx.Response:
    headers = owner.headers()
    if path == "/jobs" and "again" not in body:
        headers["Idempotency-Key"] = job_key(owner, body["priority"])
    return client.post(API + path, json=body, headers=headers).raise_for_status()


def _things(marker: str, again: str) -> Iterator[tuple[str, Any]]:
    """Yield paths and bodies; the last one makes a social account."""
    moment = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    for number in range(2):
        name = f"{marker}.{number}{again}"
        yield "/campaigns", {"name": f"{name}.campaign", "description": f"{name}.about"}
        yield "/jobs", {"kind": "analytics.rollup", "payload": {}, "priority": number}
        yield "/schedules", _schedule(name)
        yield "/leads/import", {"leads": [{"external_id": name, "email": f"{name}@example.org"}]}
        event = {"lead": name, "name": f"{name}.did", "occurred_at": moment}
        yield "/leads/events", {"events": [event]}
        yield "/webhooks", {"url": f"https://{marker}.example.org/{number}{again}"}
        yield "/alert-recipients", {"email": f"{name}@example.org", "name": name}
        yield "/analytics/events", {"events": [_event(name, moment)]}
        yield "/reports", {"grain": "week", "day": f"2026-01-{12 + 7 * number}", "again": bool(again)}
        account = {"platform": "bluesky", "handle": f"{name}.test", "access_token": f"{name}.token"}
        yield "/social/accounts", account


def _schedule(name: str) -> dict[str, Any]:
    return {"name": f"{name}.schedule", "kind": "analytics.rollup", "payload": {}, "cron": "0 3 * * *"}


def _event(name: str, moment: str) -> dict[str, Any]:
    return {
        "name": f"{name}.seen",
        "occurred_at": moment,
        "visitor": f"{name}.visitor",
        "channel": f"{name}.channel",
        "key": f"{name}.event",
    }

"""What tests of schedules over HTTP share."""

from datetime import datetime
from typing import Any

import httpx

Headers = dict[str, str]

URL = "/api/v1/schedules"
NIGHTLY: dict[str, Any] = {
    "name": "Nightly rollup",
    "kind": "analytics.rollup",
    "payload": {},
    "cron": "30 2 * * *",
    "time_zone": "Europe/Berlin",
}


def create(client: httpx.Client, headers: Headers, **changes: Any) -> dict[str, Any]:
    body = {name: value for name, value in (NIGHTLY | changes).items() if value is not ...}
    answer = client.post(URL, json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"{URL}/{made['id']}"
    return made


def moments(runs: list[dict[str, Any]]) -> list[datetime]:
    return [datetime.fromisoformat(run["nominal_time"]) for run in runs]

"""Who gets what of Flower: strangers nothing, readers a look, operators what they do in their own name."""

import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flower.urls
import httpx
import pytest
from sqlalchemy import select

from config.settings import Settings
from models.audit import AuditEntry
from models.organization import Tenant
from models.session import tenant_session
from ops.flower.setup import NO_CREDENTIALS, doorman_of, routes
from tests.browser.conftest import Floor, known_worker
from tests.support.crowd import DEAD_EACH, SECRET
from tests.support.flower import OPERATOR, READER
from tests.support.wait import wait_until

OPEN = {"/healthcheck"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def basic(name: str, password: str) -> str:
    return "Basic " + b64encode(f"{name}:{password}".encode()).decode()


STRANGERS: dict[str, dict[str, str]] = {
    "nothing": {},
    "a wrong password": {"Authorization": basic("ada", "battery staple")},
    "another's password": {"Authorization": basic("ben", "correct horse")},
    "letters beyond ASCII": {"Authorization": basic("ädä", "ö")},
    "no base64": {"Authorization": "Basic !?"},
    "a token": {"Authorization": "Bearer correct horse"},
    "a made-up cookie": {"Cookie": 'user="2|1:0|10:1700000000|4:user|4:YWRh|00"; _xsrf=x'},
}


def paths() -> Iterator[str]:
    """Return an address for each route that Flower registers."""
    for route in routes(list(flower.urls.handlers), oauth=False):
        pattern: str = route.regex.pattern.removesuffix("$")
        yield re.sub(r"\([^)]*\)", "x", pattern).replace("/?", "").replace(".*", "/nowhere")
    yield from ("/static/js/flower.js", "/favicon.ico", "/robots.txt", "/assets/genius.css")


def test_strangers_get_nothing_of_any_route_whatever_they_send(floor: Floor) -> None:
    with floor.flower.client() as client:
        for path in set(paths()) - OPEN:
            for method in METHODS:
                refused(client.request(method, path), f"{method} {path} without anything")
            for sent, headers in STRANGERS.items():
                refused(client.get(path, headers=headers), f"{path} with {sent}")
        assert client.get("/healthcheck").text == "OK"
        assert len(set(paths())) > 40


def refused(answer: httpx.Response, what: str) -> None:
    assert answer.status_code == 401, (what, answer.status_code)
    assert answer.text in {"", "Access denied"}, what


def test_a_reader_sees_everything_and_changes_nothing(floor: Floor) -> None:
    tenant = floor.crowd.noisy
    place = f"/tenants/{tenant.organization_id}"
    with floor.flower.client(READER) as client:
        page = client.get(place)
        assert tenant.name in page.text
        assert "<button" not in page.text.partition('id="main-content"')[2]
        sent = {"_xsrf": client.cookies["_xsrf"], "weight": "7"}
        worker = wait_until(lambda: known_worker(floor), 60)
        for path in (f"{place}/pause", f"{place}/weight", f"/api/worker/shutdown/{worker}"):
            answer = client.post(path, data=sent, headers={"X-XSRFToken": client.cookies["_xsrf"]})
            assert answer.status_code == 403, path
        assert client.post("/tasks/datatable", data=TABLE).is_success
    with floor.flower.client(OPERATOR) as client:
        assert "weight 1 ·" in client.get(place).text


TABLE = {"draw": "1", "start": "0", "length": "5", "order[0][column]": "0", "columns[0][data]": "name"}


def test_an_operators_changes_reach_the_queue_and_the_audit_log_names_them(
    floor: Floor, operator: httpx.Client
) -> None:
    tenant = floor.crowd.others[0]
    place = f"/tenants/{tenant.organization_id}"
    change(operator, place, "pause")
    assert all(standing.paused for standing in standings(floor, tenant))
    change(operator, place, "weight", weight="17")
    change(operator, place, "resume")
    assert {(lane.weight, lane.paused) for lane in standings(floor, tenant)} == {(17.0, False)}
    change(operator, place, "weight", weight="")
    assert {lane.weight for lane in standings(floor, tenant)} == {float(tenant.terms.weight)}
    assert actors(floor, tenant) == ["operator:ada"] * 4

    for weight in ("0", "1001", "1e3", "-1", "²"):
        answer = post(operator, f"{place}/weight", weight=weight)
        assert answer.status_code == 400, weight
    assert len(actors(floor, tenant)) == 4


def test_dead_letters_are_requeued_in_the_operators_name(floor: Floor, operator: httpx.Client) -> None:
    tenant = floor.crowd.dying[0]
    page = operator.get(f"/tenants/{tenant.organization_id}").text
    found = re.search(r'name="fingerprint" value="([^"]+)"', page)
    assert found is not None
    sent = {"kind": "test.leave_campaign", "fingerprint": found[1]}
    answer = post(operator, f"/tenants/{tenant.organization_id}/requeue", **sent)
    assert f"count={DEAD_EACH}" in answer.headers["location"]
    with tenant_session(floor.database, tenant.organization_id) as session:
        entry = session.scalars(select(AuditEntry).order_by(AuditEntry.position.desc()).limit(1)).one()
    assert (entry.action, entry.actor) == ("dead_letters.requeue", "operator:ada")
    wait_until(lambda: dead(operator, tenant) == DEAD_EACH, 60)  # they die again


def test_a_change_without_the_forms_token_or_from_another_site_is_refused(
    floor: Floor, operator: httpx.Client
) -> None:
    tenant = floor.crowd.others[1]
    path = f"/tenants/{tenant.organization_id}/pause"
    operator.get("/tenants")
    token = operator.cookies["_xsrf"]
    assert operator.post(path).status_code == 403
    assert operator.post(path, data={"_xsrf": "made up"}).status_code == 403
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert operator.post(path, data={"_xsrf": token}, headers=headers).status_code == 403
        assert operator.post("/api/task/send-task/x", headers=headers).status_code == 403
    assert not any(standing.paused for standing in standings(floor, tenant))


def test_no_page_and_no_answer_tells_a_secret_or_a_payload(floor: Floor, operator: httpx.Client) -> None:
    settings = floor.settings.model_dump()
    secrets = {SECRET, *(value.get_secret_value() for value in settings.values() if is_secret(value))}
    secrets |= {str(part) for url in urls(floor.settings) if (part := httpx.URL(url).password)}
    worker = wait_until(lambda: known_worker(floor), 60)
    tasks = operator.get("/api/tasks", params={"limit": 50}).json()
    job, organization = next((task["job"], task["organization"]) for task in tasks.values())
    dying = floor.crowd.dying[0].organization_id
    for path in (
        *("/", f"/worker/{worker}", "/tasks", "/broker", "/tenants", "/deadletters", "/metrics"),
        *("/api/tasks?limit=2000", "/api/workers", "/api/queues/length", "/api/task/types"),
        *(f"/task/{next(iter(tasks))}", f"/api/task/info/{next(iter(tasks))}"),
        *(f"/tenants/{dying}", f"/jobs/{organization}/{job}", f"/jobs?id={job}"),
    ):
        answer = operator.get(path)
        assert answer.status_code in {200, 302}, path
        assert not [secret for secret in secrets if secret in answer.text], path
        assert not re.search(r"(?<!value=\")\b[0-9a-f]{64}\b", answer.text), f"a signature on {path}"


def is_secret(value: Any) -> bool:
    return hasattr(value, "get_secret_value")


def urls(settings: Settings) -> list[str]:
    return [str(settings.redis_url), str(settings.database_url), str(settings.relay_database_url)]


def test_flower_does_not_start_without_credentials_from_wherever(tmp_path: Path, floor: Floor) -> None:
    environment = {
        "GENIUS_" + name.upper(): str(value.get_secret_value() if is_secret(value) else value)
        for name in (
            "database_url",
            "redis_url",
            "jwt_secret",
            "seal_secret",
            "pointer_secret",
            "credential_secret",
        )
        if (value := getattr(floor.settings, name))
    }
    command = [sys.executable, "-m", "celery", "-A", "worker.app", "flower", "--port=0"]
    done = subprocess.run(  # noqa: S603 - our own command
        command,
        cwd=tmp_path,
        env=environment | {"GENIUS_ENVIRONMENT": "test"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert NO_CREDENTIALS in done.stderr


@pytest.mark.parametrize(
    ("address", "opened"),
    [("127.0.0.1", True), ("localhost", True), ("", False), ("0.0.0.0", False), ("10.0.0.1", False)],  # noqa: S104
)
def test_it_opens_to_everybody_on_a_loopback_address_and_when_told_alone(
    address: str, *, opened: bool
) -> None:
    options: Any = SimpleNamespace(basic_auth=None, auth="", unix_socket="", address=address, read_only=False)
    settings: Any = SimpleNamespace(flower_users={}, flower_open=True)
    assert (doorman_of(options, settings) is not None) == opened
    settings.flower_open = False
    assert doorman_of(options, settings) is None


def change(client: httpx.Client, place: str, verb: str, **values: str) -> None:
    answer = post(client, f"{place}/{verb}", **values)
    assert answer.status_code == 303, answer.text
    assert "told=away" not in answer.headers["location"]


def post(client: httpx.Client, path: str, **values: str) -> httpx.Response:
    if "_xsrf" not in client.cookies:
        client.get("/tenants")
    return client.post(path, data={"_xsrf": client.cookies["_xsrf"], **values})


def standings(floor: Floor, tenant: Tenant) -> list[Any]:
    return floor.publisher.standings(tenant.organization_id, ["scoring", "analytics"])


def actors(floor: Floor, tenant: Tenant) -> list[str | None]:
    with tenant_session(floor.database, tenant.organization_id) as session:
        entries = session.scalars(select(AuditEntry).order_by(AuditEntry.position)).all()
    return [entry.actor for entry in entries if entry.action == "organizations.update"]


def dead(client: httpx.Client, tenant: Tenant) -> int:
    page = client.get(f"/tenants/{tenant.organization_id}").text
    found = re.search(r"told to fail for good</td>\s*<td class=\"number\">(\d+)<", page)
    return int(found[1]) if found else 0

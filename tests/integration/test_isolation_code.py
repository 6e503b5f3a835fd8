"""Every route names its caller and its permission, no code goes round the doors; what would is planted."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import psycopg
import pytest
from fastapi import Depends, FastAPI
from typer.testing import CliRunner

from config.settings import Settings
from intake.app import create_app
from intake.auth import AnyCaller, Caller, allowed, authenticate
from models.user import Permission
from ops.cli import app as genius
from ops.isolation.doors import audit_doors
from ops.isolation.routes import audit_routes, routes_of
from ops.stack import PostgresUrls


def test_the_routes_are_clean() -> None:
    assert audit_routes(create_app()) == []


def test_the_permissions_of_routes_are_read_from_their_dependencies() -> None:
    permissions = {route.name: route.permissions for route in routes_of(create_app())}

    assert len(permissions) > 100
    assert permissions["POST /api/v1/campaigns"] == {Permission.MANAGE_CAMPAIGNS}
    assert permissions["GET /healthz"] == frozenset()


async def _nobody() -> None: ...


async def _any(caller: AnyCaller) -> None: ...


async def _uncounted(caller: Annotated[Caller, Depends(authenticate)]) -> None: ...


async def _permitted(caller: Annotated[Caller, Depends(allowed("manage_users"))]) -> None: ...


PLANTED: list[tuple[str, Callable[..., Any], list[str]]] = [
    ("GET", _nobody, ["route-caller"]),
    ("DELETE", _nobody, ["route-caller"]),
    ("GET", _uncounted, ["route-limit"]),
    ("POST", _any, ["route-permission"]),
    ("GET", _any, []),
    ("POST", _permitted, []),
]


@pytest.mark.parametrize(("method", "endpoint", "rules"), PLANTED)
def test_a_planted_route_is_found(method: str, endpoint: Callable[..., Any], rules: list[str]) -> None:
    app = create_app()
    app.add_api_route("/api/v1/planted", endpoint, methods=[method])

    found = audit_routes(app)
    assert [(each.rule, each.object) for each in found] == [
        (rule, f"{method} /api/v1/planted") for rule in rules
    ]


def test_an_exception_for_no_route_is_found() -> None:
    assert {finding.rule for finding in audit_routes(FastAPI())} >= {"route-exception"}


def test_no_code_goes_round_the_doors() -> None:
    assert audit_doors() == []


@pytest.mark.parametrize(
    "code",
    [
        "import sqlalchemy\nengine = sqlalchemy.create_engine('postgresql://')",
        "from sqlalchemy.orm import Session\nwith Session(engine) as session: ...",
        "import psycopg\nconnection = psycopg.connect('')",
        "def work(relay):\n    with relay_session(relay) as session: ...",
        "models.session.call_relay(database, 'requeue_lapsed', batch=1)",
        "psycopg.ClientCursor(connection).execute('SELECT %s', (seal,))",
    ],
)
def test_a_planted_door_is_found(tmp_path: Path, code: str) -> None:
    for package in ("config", "models", "worker", "tasks", "intake"):
        (tmp_path / package).mkdir()
    (tmp_path / "tasks" / "sly.py").write_text(code)

    [finding] = audit_doors(tmp_path)
    assert finding.object.startswith("tasks/sly.py:")


def test_the_command_finds_nothing_and_then_what_was_planted(
    settings: Settings, database_urls: PostgresUrls
) -> None:
    clean = CliRunner().invoke(genius, ["audit-isolation"])
    assert (clean.exit_code, clean.output.count("\n")) == (0, 1), clean.output

    assert database_urls.superuser_url is not None
    with psycopg.connect(database_urls.superuser_url) as connection:
        connection.execute("ALTER TABLE leads NO FORCE ROW LEVEL SECURITY")
    shown = CliRunner().invoke(genius, ["audit-isolation"])
    assert shown.exit_code == 1
    assert "SELECT app.protect('leads');" in shown.output
    told = CliRunner().invoke(genius, ["audit-isolation", "--json"])
    assert told.exit_code == 1
    assert json.loads(told.output)["findings"] == [
        {
            "rule": "forced-policies",
            "object": "leads",
            "found": "row-level security is not forced",
            "fix": "SELECT app.protect('leads');",
        }
    ]

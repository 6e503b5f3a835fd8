"""The compose file is valid, confines every service, and gives each what it needs and no more."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from config.celery import LANES
from config.settings import Settings
from tests.support.compose import (
    BESIDE_SETTINGS,
    COMPOSE_FILE,
    PRIVILEGED,
    REQUIRED,
    SETTINGS,
    VARIABLE,
    compose,
    lanes_of,
    made_secrets,
    ours,
    strings,
)

FILE = compose()
SERVICES: dict[str, Any] = FILE["services"]
OURS = ours(SERVICES)
ONE_SHOT = {name for name, service in SERVICES.items() if service.get("restart") == "no"}
PORTS = {"GENIUS_INTAKE_PORT", "GENIUS_FLOWER_PORT"}

every_service = pytest.mark.parametrize("name", sorted(SERVICES))
every_one_of_ours = pytest.mark.parametrize("name", sorted(OURS))


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def test_the_file_follows_the_compose_specification() -> None:
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE_FILE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@every_service
def test_a_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"].split(":")[0] not in {"", "0", "root"}
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@every_service
def test_a_service_is_limited_and_watched(name: str) -> None:
    service = SERVICES[name]
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
    assert name in ONE_SHOT or {"test", "interval", "timeout"} <= service["healthcheck"].keys()


@every_service
def test_secrets_come_by_file(name: str) -> None:
    service = SERVICES[name]
    told = service.get("environment", {})
    assert [key for key in told if key in PRIVILEGED | REQUIRED] == []
    assert [key for key in told if "PASSWORD" in key and not key.endswith(("_FILE", "__FILE"))] == []
    assert set(service.get("secrets", [])) <= FILE["secrets"].keys()


@every_one_of_ours
def test_a_service_has_every_required_setting_and_only_known_ones(name: str) -> None:
    assert set(OURS[name]["secrets"]) >= REQUIRED
    named = {match for text in strings(OURS[name]) for match in VARIABLE.findall(text)}
    assert named - PORTS <= SETTINGS | BESIDE_SETTINGS


@every_one_of_ours
def test_only_what_may_change_the_schema_sees_its_owner(name: str) -> None:
    assert name in ONE_SHOT or not PRIVILEGED & set(OURS[name]["secrets"])


@every_one_of_ours
def test_everything_waits_until_the_migration_has_ended_well(name: str) -> None:
    waits_for = OURS[name]["depends_on"]
    assert waits_for["postgres"]["condition"] == "service_healthy"
    if name not in ONE_SHOT:
        assert waits_for["migrate"]["condition"] == "service_completed_successfully"
        assert waits_for["redis"]["condition"] == "service_healthy"


@every_one_of_ours
def test_a_service_has_longer_to_stop_than_a_worker_takes(name: str) -> None:
    deadline = Settings.model_fields["shutdown_deadline"].default.total_seconds()
    assert seconds(OURS[name]["stop_grace_period"]) > deadline + 10


def test_every_lane_is_served() -> None:
    assert sorted(lanes_of(service["command"] for service in OURS.values())) == sorted(LANES)


def test_ports_are_published_to_this_machine_alone() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert [port for port in published if "127.0.0.1:" not in port] == []


def test_the_servers_are_on_a_network_of_their_own() -> None:
    assert FILE["networks"]["inside"]["internal"] is True
    assert [SERVICES[name]["networks"] for name in ("postgres", "redis")] == [["inside"], ["inside"]]


def test_the_script_makes_every_secret_that_the_file_names(tmp_path: Path) -> None:
    made = made_secrets(tmp_path)
    assert {Path(secret["file"]).name for secret in FILE["secrets"].values()} <= made.keys()
    assert {name: Path(secret["file"]).name for name, secret in FILE["secrets"].items()} == {
        name: name for name in FILE["secrets"]
    }


def test_a_second_run_of_the_script_changes_no_secret(tmp_path: Path) -> None:
    assert made_secrets(tmp_path) == made_secrets(tmp_path)
    assert tmp_path.stat().st_mode & 0o077 == 0

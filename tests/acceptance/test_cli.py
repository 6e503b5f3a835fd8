from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import jwt
import pytest
from typer.testing import CliRunner
from uuid_utils.compat import uuid7

from config.settings import STACK_ENVIRONMENT, Settings
from intake.auth import verify
from models.organization import load_tenant
from models.session import Database
from ops.cli import app
from ops.port import free_port
from ops.stack import Stack
from tests.support.clone import empty_database
from tests.support.in_process import genius


def created_organization(environment: Mapping[str, str], *options: str) -> str:
    done = genius("org", "create", "--name", "Acme", "--plan", "starter", *options, environment=environment)
    assert done.exit_code == 0, done.stderr
    return done.stdout.strip()


def test_an_organization_is_made_and_only_its_id_printed(
    database: Database, environment: dict[str, str]
) -> None:
    tenant = load_tenant(database, UUID(created_organization(environment)))
    assert tenant is not None
    assert (tenant.name, tenant.plan, tenant.status) == ("Acme", "starter", "active")


def test_an_organization_takes_the_id_it_is_given_once(environment: dict[str, str]) -> None:
    wanted = str(uuid7())
    assert created_organization(environment, "--id", wanted) == wanted
    again = genius(
        "org", "create", "--name", "B", "--plan", "starter", "--id", wanted, environment=environment
    )
    assert again.exit_code == 1
    assert "exists already" in again.stderr
    assert isinstance(again.exception, SystemExit)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("org", "create", "--name", "A", "--plan", "platinum"), "platinum"),
        (("org", "create", "--plan", "starter"), "--name"),
        (("token", "--org", "nonsense"), "--org"),
        (("token", "--org", str(uuid7()), "--permissions", "fly"), "fly"),
        (("token", "--org", str(uuid7()), "--ttl", "0"), "--ttl"),
        (("jobs", "--org", str(uuid7()), "--state", "lost"), "lost"),
        (("dance",), "dance"),
    ],
)
def test_a_wrong_argument_is_named_and_exits_with_2(arguments: tuple[str, ...], complaint: str) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert complaint in done.stderr


def test_a_token_carries_the_claims_of_the_contract(settings: Settings, environment: dict[str, str]) -> None:
    organization_id = created_organization(environment)
    done = genius("token", "--org", organization_id, "--ttl", "60", environment=environment)
    assert done.exit_code == 0, done.stderr
    claims = jwt.decode(done.stdout.strip(), settings.jwt_secret.get_secret_value(), algorithms=["HS256"])
    assert claims["organization_id"] == organization_id
    assert (claims["organization_name"], claims["subscription_plan"]) == ("Acme", "starter")
    assert claims["role"] == "admin"
    assert "manage_jobs" in claims["permissions"]
    assert claims["exp"] - claims["iat"] == 60
    assert verify(done.stdout.strip(), settings).user_id == claims["user_id"]


def test_a_token_lists_the_permissions_asked_for(settings: Settings, environment: dict[str, str]) -> None:
    organization_id = created_organization(environment)
    asked = ("--role", "viewer", "--permissions", "view_jobs, manage_leads")
    done = genius("token", "--org", organization_id, *asked, environment=environment)
    claims = jwt.decode(done.stdout.strip(), settings.jwt_secret.get_secret_value(), algorithms=["HS256"])
    assert claims["permissions"] == ["manage_leads", "view_jobs"]
    assert claims["role"] == "viewer"


def test_no_token_is_minted_for_an_unknown_organization(environment: dict[str, str]) -> None:
    done = genius("token", "--org", str(uuid7()), environment=environment)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert "genius org create" in done.stderr


def test_the_jobs_of_an_organization_without_any_are_an_empty_list(environment: dict[str, str]) -> None:
    done = genius("jobs", "--org", created_organization(environment), "--json", environment=environment)
    assert (done.exit_code, done.stdout) == (0, "")


def test_top_shows_every_lane_of_an_idle_system(environment: dict[str, str]) -> None:
    done = genius("top", "--once", environment=environment)
    assert done.exit_code == 0, done.stderr
    assert "worker time" in done.stdout
    assert "no beat has passed" in " ".join(done.stdout.split())


def test_migrate_brings_an_empty_database_to_the_newest_revision(
    stack: Stack, environment: dict[str, str]
) -> None:
    with empty_database(stack) as urls:
        empty = environment | urls.environment()
        assert genius("doctor", environment=empty).exit_code == 1
        done = genius("migrate", environment=empty)
        assert done.exit_code == 0, done.stderr
        assert genius("doctor", environment=empty).exit_code == 0
        created_organization(empty)


def test_migrate_makes_roles_and_database_when_given_a_superuser(tmp_path: Path) -> None:
    with Stack(tmp_path / "s", environ={}) as stack:
        environment = stack.environment()
        for name, url in stack.postgres_urls("another").environment().items():
            environment[name] = url
        environment["GENIUS_SUPERUSER_DATABASE_URL"] = stack.postgres.superuser_url or ""
        done = genius("migrate", environment=environment)
        assert done.exit_code == 0, done.stderr
        created_organization(environment)


def test_migrate_without_the_owner_says_which_variable_to_set(environment: dict[str, str]) -> None:
    del environment["GENIUS_OWNER_DATABASE_URL"]
    if STACK_ENVIRONMENT.exists():
        pytest.skip("a stack that runs in this checkout names an owner")
    done = genius("migrate", environment=environment)
    assert done.exit_code == 1
    assert "GENIUS_OWNER_DATABASE_URL" in done.stderr


def test_a_server_that_is_away_is_one_message_without_traceback_or_password(
    environment: dict[str, str],
) -> None:
    environment["GENIUS_DATABASE_URL"] = f"postgresql://genius_app:s3cr3t@127.0.0.1:{free_port()}/none"
    done = genius("org", "create", "--name", "A", "--plan", "starter", environment=environment)
    assert done.exit_code == 1
    assert "genius doctor" in done.stderr
    assert isinstance(done.exception, SystemExit)
    assert "s3cr3t" not in done.stderr + done.stdout


def test_doctor_finds_nothing_wrong_with_a_whole_system(
    database: Database, environment: dict[str, str]
) -> None:
    assert database
    done = genius("doctor", environment=environment)
    assert done.exit_code == 0, done.stdout
    assert "18." in done.stdout
    for name in ("GENIUS_JWT_SECRET", "GENIUS_SEAL_SECRET"):
        assert environment[name] not in done.stdout


@pytest.mark.parametrize(
    ("variable", "value", "fix"),
    [
        ("GENIUS_REDIS_URL", "redis://127.0.0.1:1/0", "GENIUS_REDIS_URL"),
        ("GENIUS_DATABASE_URL", "postgresql://genius_app@127.0.0.1:1/none", "GENIUS_DATABASE_URL"),
        ("GENIUS_JWT_SECRET", "short", "GENIUS_JWT_SECRET"),
    ],
)
def test_doctor_names_what_is_wrong_and_the_fix(
    environment: dict[str, str], variable: str, value: str, fix: str
) -> None:
    done = genius("doctor", environment=environment | {variable: value})
    assert done.exit_code == 1
    assert fix in done.stdout


def test_doctor_refuses_a_role_that_policies_do_not_bind(stack: Stack, environment: dict[str, str]) -> None:
    superuser = stack.postgres.superuser_url or ""
    done = genius("doctor", environment=environment | {"GENIUS_DATABASE_URL": superuser})
    assert done.exit_code == 1
    assert "passes policies" in done.stdout

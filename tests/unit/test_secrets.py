"""Settings come from files named after them, as containers are given secrets."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import Settings, get_settings, read_variable
from tests.support.compose import REQUIRED, made_secrets


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The secrets of an installation, and no variable."""
    for name in REQUIRED | {"GENIUS_OWNER_DATABASE_URL", "GENIUS_SUPERUSER_DATABASE_URL"}:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GENIUS_SECRETS_DIRECTORY", str(tmp_path))
    monkeypatch.setitem(Settings.model_config, "env_file", None)
    get_settings.cache_clear()
    yield made_secrets(tmp_path)
    get_settings.cache_clear()


def test_files_that_the_script_makes_are_complete_settings(secrets: dict[str, str]) -> None:
    settings = get_settings()
    assert str(settings.database_url) == secrets["GENIUS_DATABASE_URL"]
    assert settings.jwt_secret.get_secret_value() == secrets["GENIUS_JWT_SECRET"]
    assert settings.social_clients == {}
    assert settings.retired_credential_secrets == ()


def test_the_environment_wins_over_a_file(secrets: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENIUS_REDIS_URL", "redis://elsewhere:6379/0")
    settings = get_settings()
    assert settings.redis_url.host == "elsewhere"
    assert str(settings.database_url) == secrets["GENIUS_DATABASE_URL"]


def test_a_variable_that_is_no_setting_comes_from_its_file_too(
    secrets: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "GENIUS_SUPERUSER_DATABASE_URL"
    assert read_variable(name) == secrets[name]
    monkeypatch.setenv(name, "postgresql://elsewhere/postgres")
    assert read_variable(name) == "postgresql://elsewhere/postgres"
    assert read_variable("GENIUS_NOTHING") is None

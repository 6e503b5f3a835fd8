"""Every command in the documentation is one there is, with options that it takes.

Those of guides are run, too, by `tests/acceptance/deploy`; these checks find what cannot even be started.
"""

import re
import uuid
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest
import typer
import yaml
from alembic.config import CommandLine
from celery.bin.celery import celery
from typer.exceptions import TyperException
from uvicorn import main as uvicorn_command

from config.settings import ROOT
from intake.app import create_app
from ops.cli import app
from tests.support.compose import compose
from tests.support.manual import Command, commands, inline_commands, pages
from tests.unit.deploy.test_kubernetes import CLASSES

PLACEHOLDER = re.compile(r"^(\$\w+|<[^>]+>|[A-Z]+)$")
SOMETHING = str(uuid.uuid4())
TOLD = list(dict.fromkeys(command for page in pages() for command in commands(page)))
MENTIONED = list(dict.fromkeys(command for page in pages() for command in inline_commands(page)))
GENIUS = typer.main.get_command(app)


def parse(command: Any, words: list[str]) -> None:
    """Parse as the command would, down to its subcommand, and run nothing.

    Typer brings a Click of its own: groups are told by what they have.

    Raises:
        click.UsageError, TyperException: It would not take these words.
    """
    words = [SOMETHING if PLACEHOLDER.match(word) else word for word in words]
    if not words and hasattr(command, "commands"):
        return
    with command.make_context(command.name, words) as context:
        rest = [*context._protected_args, *context.args] if hasattr(command, "commands") else []  # noqa: SLF001
        if rest:
            _, below, arguments = command.resolve_command(context, rest)
            parse(below, arguments)


def check_genius(words: list[str]) -> None:
    if "--help" in words:
        name_of(GENIUS, words)
    else:
        parse(GENIUS, words)


def name_of(command: Any, words: list[str]) -> None:
    """Follow the first words to a command; what comes after may be anything."""
    for word in words:
        if not hasattr(command, "commands") or word.startswith("-") or PLACEHOLDER.match(word):
            return
        assert word in command.commands, f"there is no genius {word}"
        command = command.commands[word]


def check_make(words: list[str]) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(words) <= set(targets)


def check_file(words: list[str]) -> None:
    assert (ROOT / words[0]).is_file()


def check_python(words: list[str]) -> None:
    if words[0] == "-m":
        module = ROOT / words[1].replace(".", "/")
        assert module.with_suffix(".py").is_file() or (module / "__main__.py").is_file()
    else:
        check_file(words)


def check_celery(words: list[str]) -> None:
    assert words[:2] == ["-A", "worker.app"]
    if words[2] != "flower":  # it has its options from elsewhere
        known = {name for each in celery.commands[words[2]].params for name in each.opts}
        assert {word.partition("=")[0] for word in words[3:] if word.startswith("-")} <= known


def check_uvicorn(words: list[str]) -> None:
    uvicorn_command.make_context("uvicorn", list(words))


def check_alembic(words: list[str]) -> None:
    CommandLine().parser.parse_args(words)


def check_compose(words: list[str]) -> None:
    services = compose()["services"]
    profiles = {profile for service in services.values() for profile in service.get("profiles", [])}
    assert words[0] == "compose"
    for option, value in pairwise(words):
        assert option != "--profile" or value in profiles
        assert option != "--scale" or value.split("=")[0] in services
    verbs = {"run", "exec"} & set(words)
    for verb in verbs:
        service, *inside = [word for word in words[words.index(verb) + 1 :] if word != "--rm"]
        assert service in services
        check_genius(inside[1:]) if inside[0] == "genius" else None


def check_kubectl(words: list[str]) -> None:
    if "-k" in words:
        folder = ROOT / words[words.index("-k") + 1]
        assert yaml.safe_load((folder / "kustomization.yaml").read_text())["kind"] == "Kustomization"
    if "secret" in words:
        name = words[words.index("generic") + 1].removeprefix("genius-")
        files = {Path(word.partition("=")[2]).name for word in words if word.startswith("--from-file=")}
        assert files == CLASSES[name]


def check_curl(words: list[str]) -> None:
    [url] = [word for word in words if word.startswith("$API")]
    verb = "post" if "-d" in words else "get"
    assert verb in paths()[url.replace("$API", "/api/v1")]


@cache
def paths() -> dict[str, Any]:
    """Return what the interface offers."""
    return dict(create_app().openapi()["paths"])


def check_nothing(_: list[str]) -> None:
    """Stand for programs that are everybody's."""


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "genius": check_genius,
    "make": check_make,
    "sh": check_file,
    "python": check_python,
    "celery": check_celery,
    "uvicorn": check_uvicorn,
    "alembic": check_alembic,
    "docker": check_compose,
    "kubectl": check_kubectl,
    "curl": check_curl,
    "grep": check_nothing,
    "pip": check_nothing,
}


@pytest.mark.parametrize("command", TOLD, ids=str)
def test_a_command_that_a_page_tells_to_run_can_be_run(command: Command) -> None:
    program, *words = command.words
    CHECKS[program.removeprefix(".venv/bin/")](words)


@pytest.mark.parametrize("command", MENTIONED, ids=str)
def test_a_command_that_a_page_mentions_is_one_there_is(command: Command) -> None:
    name_of(GENIUS, list(command.words[1:]))


@pytest.mark.parametrize(
    "wrong",
    [
        "genius dance",
        "genius backup",
        "genius tenant weight --org <id> heavy",
        "genius tenant show <id>",
        "genius token --organisation <id>",
        "make coffee",
        "celery -A worker.app worker --fairly",
        "docker compose run --rm bakup genius backup there",
        "docker compose --profile watching up",
        "kubectl apply -k deploy/kubernetes/nowhere",
        'curl "$API/job"',
        "python benchmarks/nothing.py",
    ],
)
def test_a_command_that_cannot_be_run_is_noticed(wrong: str) -> None:
    program, *words = wrong.replace('"', "").split()
    with pytest.raises((click.UsageError, TyperException, AssertionError, KeyError, OSError)):
        CHECKS[program](words)

"""Every service of the compose file, run as a process with what its container has and nothing else.

There is no engine here: the files are those that the image gets, the secrets are files, nothing but the
mounted folders can be written, no capability is left, and each process has its host name to itself. The
commands and health checks are the compose file's own; only ports, paths of volumes and addresses differ.
"""

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from config.settings import ROOT
from ops.port import free_port
from ops.process import ChildProcess
from ops.stack import PostgresUrls, Stack
from tests.conftest import GIVEN_ENVIRONMENT
from tests.support import confined
from tests.support.clone import empty_database
from tests.support.compose import compose, made_secrets, ours
from tests.support.in_process import genius
from tests.support.manual import DOCS, commands
from tests.support.reader import Reader
from tests.support.wait import StillFalseError, wait_until

SERVICES = ours(compose()["services"])
PATH = f"{Path(sys.executable).parent}:/usr/bin:/bin"
HEALTHY_WITHIN_S = 180

ALWAYS = {"intake", "worker-compute", "beat"}
EVERY_SERVICE = "GENIUS_LONG_TESTS" in GIVEN_ENVIRONMENT
"""Each takes some seconds to start; those that others of our tests run are left out unless asked for."""

PAGES = (
    "quick-start.md",
    "how-to/change-terms.md",
    "how-to/why-a-job-waits.md",
    "how-to/rotate-a-secret.md",
    "how-to/back-up-and-restore.md",
    "upgrade.md",
    "capacity.md",
)
"""What they tell to run is run on this system, line by line."""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The files that the image gets."""
    directory = tmp_path / "image"
    directory.mkdir()
    wanted = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name in wanted:
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target)
    compiling = [sys.executable, "-m", "compileall", "-q", directory]  # as the Dockerfile does
    subprocess.run(compiling, env={"PATH": PATH}, check=True)  # noqa: S603 - our own command
    return directory


@pytest.fixture
def empty(stack: Stack) -> Iterator[PostgresUrls]:
    with empty_database(stack) as urls:
        yield urls


@pytest.fixture
def secrets(stack: Stack, empty: PostgresUrls, redis_url: str, tmp_path: Path) -> dict[str, str]:
    """What an operator makes, with the addresses of the servers here."""
    superuser = stack.postgres.superuser_url or ""
    servers = {"GENIUS_REDIS_URL": redis_url, "GENIUS_SUPERUSER_DATABASE_URL": superuser}
    return made_secrets(tmp_path / "made") | empty.environment() | servers


class Container:
    """One service of the compose file as a process."""

    def __init__(
        self, name: str, service: Mapping[str, Any], image: Path, secrets: Mapping[str, str], directory: Path
    ) -> None:
        self.name = name
        self.port = str(free_port())
        self._service = service
        self._image = image
        self._directory = directory
        self._scratch = directory / "tmp"
        self._scratch.mkdir(parents=True)
        self._given = directory / "secrets"
        self._given.mkdir()
        for secret in service["secrets"]:
            (self._given / secret).write_text(secrets[secret])
        self._volumes = {
            volume.split(":")[1]: directory / volume.split(":")[0] for volume in service["volumes"]
        }
        for folder in self._volumes.values():
            folder.mkdir()

    def process(self) -> ChildProcess:
        """Return the service's own process."""
        return ChildProcess(
            self.name,
            self._confined(self._service["command"]),
            log=self._directory / "log",
            environment=self._environment(),
            directory=self._image,
        )

    def trouble(self) -> str | None:
        """Ask the service's own health check; None is well."""
        [how, *test] = self._service["healthcheck"]["test"]
        assert how == "CMD"
        done = self.run(*test)
        return done.stderr if done.returncode else None

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as ``docker compose exec`` does."""
        return subprocess.run(  # noqa: S603 - our own command
            self._confined(list(command)),
            cwd=self._image,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    def _confined(self, command: list[str]) -> list[str]:
        writable = ":".join(map(str, [self._scratch, *self._volumes.values()]))
        own = [part.replace("8000", self.port).replace("5555", self.port) for part in command]
        return [sys.executable, "-I", "-S", confined.__file__, f"{self.name}-1", writable, *own]

    def _environment(self) -> dict[str, str]:
        told = dict(self._service["environment"])
        for inside, folder in self._volumes.items():
            told = {name: value.replace(inside, str(folder)) for name, value in told.items()}
        if "GENIUS_METRICS_PORT" in told:
            told["GENIUS_METRICS_PORT"] = self.port
        return told | {
            "PATH": PATH,
            "HOME": str(self._scratch),
            "TMPDIR": str(self._scratch),
            "PYTHONPATH": str(self._image),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "GENIUS_SECRETS_DIRECTORY": str(self._given),
        }


def run_to_the_end(container: Container) -> None:
    process = container.process()
    process.start()
    wait_until(lambda: not process.alive, HEALTHY_WITHIN_S)
    assert process.exit_code == 0, process.log_tail()


def await_health(container: Container, process: ChildProcess) -> None:
    found: list[str | None] = []

    def healthy() -> bool:
        found.append(container.trouble())
        return found[-1] is None

    try:
        wait_until(healthy, HEALTHY_WITHIN_S)
    except StillFalseError:
        pytest.fail(f"{container.name}: {found[-1]}\n{process.log_tail()}")


@pytest.mark.timeout(900)  # it types every line of many pages
def test_every_service_becomes_healthy_and_does_what_the_pages_tell(
    image: Path, secrets: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    containers = {
        name: Container(name, service, image, secrets, tmp_path / name) for name, service in SERVICES.items()
    }
    run_to_the_end(containers.pop("migrate"))
    tools = containers.pop("backup")
    started = {name: container for name, container in containers.items() if name in ALWAYS or EVERY_SERVICE}
    with ExitStack() as exits:
        processes = {name: container.process() for name, container in started.items()}
        for process in processes.values():
            process.start()
            exits.callback(process.kill)
        for name in sorted(started, reverse=True):  # workers first: their check waits for an answer
            await_health(started[name], processes[name])
        monkeypatch.chdir(tmp_path)
        type_the_pages(secrets, f"http://127.0.0.1:{started['intake'].port}/api/v1")
        assert tools.run("genius", "backup", str(tmp_path / "backup" / "backups" / "today")).returncode == 0
        processes["worker-compute"].stop()
        assert started["worker-compute"].trouble(), "a worker that has gone is not healthy"


def type_the_pages(secrets: Mapping[str, str], api: str) -> None:
    """Run every line of the pages but `make`, which starts systems of its own; other tests run that."""
    given = {name: value for name, value in secrets.items() if name.startswith("GENIUS_")}
    reader = Reader(given, api)
    for page in PAGES:
        for command in commands(DOCS / page):
            if command.words[0] != "make":
                reader.type(command)
        if page == PAGES[0]:
            listed = ("jobs", "--org", reader.variables["ORG"], "--json")
            wait_until(lambda listed=listed: '"succeeded"' in genius(*listed, environment=given).stdout, 60)


def test_the_pages_are_those_of_the_guide() -> None:
    guides = {str(page.relative_to(DOCS)) for page in (DOCS / "how-to").glob("*.md")}
    assert guides <= set(PAGES)


@pytest.mark.parametrize("name", ["intake"])
def test_a_container_writes_only_where_something_is_mounted(
    image: Path, secrets: Mapping[str, str], tmp_path: Path, name: str
) -> None:
    container = Container(name, SERVICES[name], image, secrets, tmp_path / name)
    for folder, wanted in ((".", 1), ("$TMPDIR", 0), ("$GENIUS_MEDIA_DIRECTORY", 0)):
        done = container.run("sh", "-c", f'touch "{folder}/written"')
        if "NO LANDLOCK" in done.stderr:
            pytest.skip("NO LANDLOCK: the kernel does not confine processes")
        assert done.returncode == wanted, (folder, done.stderr)
    assert container.run("hostname").stdout in {f"{name}-1\n", f"{socket.gethostname()}\n"}

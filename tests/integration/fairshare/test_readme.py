"""What the README of the transport shows runs, and what it states is so."""

import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import flower.views
import pytest
import redis

from config.settings import ROOT
from ops.embedded_redis import EmbeddedRedis
from tests.integration.fairshare.plain_app import PlainApp, fair
from tests.support.wait import wait_until
from worker.fairshare.channel import Channel
from worker.fairshare.options import Options
from worker.fairshare.transport import ALIASES

README = (ROOT / "worker" / "fairshare" / "README.md").read_text()
APP, PUBLISH, SENTINEL, FLOWER, QUEUE = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def shop(
    server: EmbeddedRedis, client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PlainApp]:
    """The README's app as the module ``shop``, on a server of ours."""
    url = fair(server.url(0))
    (tmp_path / "shop.py").write_text(APP.replace("fair://:password@localhost:6379/0", url))
    monkeypatch.syspath_prepend(tmp_path)
    with PlainApp(server, tmp_path, module="shop") as app:
        app.environment["PYTHONPATH"] = f"{tmp_path}:{ROOT}"
        yield app
        sys.modules.pop("shop", None)


def test_the_app_publishes_and_its_worker_runs(shop: PlainApp, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    exec("from shop import app, pay\n" + PUBLISH, names)  # noqa: S102 - our own text
    waiting = {row.tenant: row.waiting for row in shop.lane().stats()}
    assert waiting == {"acme": 2, "default": 1}
    port = shop.server.port
    exec(QUEUE.replace('Redis(password="password")', f'Redis(password="fair", port={port})'), names)  # noqa: S102 - our own text
    assert "acme 3 0" in capsys.readouterr().out
    (acme,) = [row for row in shop.lane().stats() if row.tenant == "acme"]
    assert acme.weight == 5
    shop.worker("prefork", 1)
    wait_until(lambda: shop.left() == 0)
    names["lane"].client.close()
    names["app"].close()


def test_what_is_said_of_sentinel_and_flower_is_valid(
    shop: PlainApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flower.views, "Broker", flower.views.Broker)
    names: dict[str, Any] = {}
    exec("from shop import app\n" + SENTINEL + FLOWER, names)  # noqa: S102 - our own text
    connection = names["app"].connection_for_write()
    assert connection.transport_cls == "fairsentinel"
    assert len(connection.alt) == 2
    assert flower.views.Broker.__module__ == "worker.fairshare.flower"


def table(title: str) -> list[list[str]]:
    """Return the cells of the first table under a heading."""
    part = README.split(f"## {title}\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("|")]
    return rows[2:]


def test_every_option_is_described_with_its_default() -> None:
    described = {
        name.strip(" `"): default
        for names, default, _ in table("Transport options")
        for name in names.split(",")
    }
    assert described == {field.name: str(getattr(Options(), field.name)) for field in fields(Options)}
    assert Channel.socket_timeout == 10


def test_every_scheme_is_described() -> None:
    described = {row[0].strip("` ").partition("://")[0] for row in table("URL")}
    assert described == set(ALIASES)

"""What mkdocs calls: adds the made pages, and leaves out of the menu what is not written yet."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

UNUSED = {
    "GENIUS_DATABASE_URL": "postgresql://nobody@localhost/none",
    "GENIUS_REDIS_URL": "redis://localhost/0",
    "GENIUS_ENVIRONMENT": "test",
    **{
        f"GENIUS_{name}_SECRET": "the documentation needs no secret"
        for name in ("JWT", "SEAL", "POINTER", "CREDENTIAL")
    },
}
"""For modules that read settings when they are imported; nothing is connected to."""


def made_pages() -> dict[str, str]:
    """Return every made page by its path."""
    for name, value in UNUSED.items():
        os.environ.setdefault(name, value)
    from intake.app import create_app  # noqa: PLC0415 - it reads settings
    from ops.cli import app as command  # noqa: PLC0415
    from ops.reference import business, http, metrics, settings  # noqa: PLC0415
    from ops.reference.command import command_page  # noqa: PLC0415

    makers: dict[str, Callable[[], str]] = {
        "settings": settings.settings_page,
        "kinds": business.kinds_page,
        "plans": business.plans_page,
        "permissions": business.permissions_page,
        "metrics": metrics.metrics_page,
        "commands": lambda: command_page(command),
        "http": lambda: http.http_page(create_app().openapi()),
    }
    return {f"reference/{name}.md": make() for name, make in makers.items()}


def on_config(config: Any) -> Any:
    """Keep of the menu what there is."""
    written = Path(config["docs_dir"])
    config["nav"] = _kept(
        config["nav"], lambda path: path.startswith("reference/") or (written / path).exists()
    )
    return config


def _kept(items: list[Any], exists: Callable[[str], bool]) -> list[Any]:
    kept = []
    for item in items:
        [(title, target)] = item.items()
        below = _kept(target, exists) if isinstance(target, list) else target
        if below and (isinstance(below, list) or exists(below)):
            kept.append({title: below})
    return kept


def on_files(files: Any, *, config: Any) -> Any:
    """Add the made pages."""
    from mkdocs.structure.files import File  # noqa: PLC0415 - only where the site is built

    for path, content in made_pages().items():
        files.append(File.generated(config, path, content=content))
    return files

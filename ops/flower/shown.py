"""A task as Flower's pages show it: with the name of its organization, where that is known."""

from collections.abc import Callable
from typing import Any

from ops.directory import Directory


def naming(directory: Directory) -> Callable[[Any], Any]:
    """Return what Flower formats a copy of each task with."""

    def shown(task: Any) -> Any:
        task.organization_name = directory.name(task.organization or "")
        return task

    return shown

"""Run the `genius` command in this process: quick, and good for all that needs no process of its own."""

import os
from collections.abc import Mapping

import pytest
from typer.testing import CliRunner, Result

from config.settings import get_settings
from ops.cli import app


def genius(*arguments: str, environment: Mapping[str, str]) -> Result:
    """Run it with no other settings than *environment*; ``test_up.py`` runs the installed command."""
    get_settings.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("GENIUS_")]:
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            return CliRunner().invoke(app, arguments)
        finally:
            get_settings.cache_clear()

"""Every setting, its default and what it is for."""

import ast
import inspect
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from config.settings import ROOT, Settings
from ops.reference.markdown import code, table

INTRODUCTION = """# Settings

Environment variables, or files named after them in the folder that `GENIUS_SECRETS_DIRECTORY` names
(`/run/secrets`); the environment wins. Spans of time are in seconds, structures in JSON. `.env.example` says
the same beside examples.

"""


def settings_page() -> str:
    """Return the page."""
    told = attribute_docstrings(Settings)
    rows = [
        (
            code(f"GENIUS_{name.upper()}"),
            _default(field.get_default(call_default_factory=True)),
            told.get(name, ""),
        )
        for name, field in Settings.model_fields.items()
    ]
    return INTRODUCTION + table(["variable", "default", "what it is for"], rows)


def attribute_docstrings(owner: type) -> dict[str, str]:
    """Return the string that stands below each annotated name of a class."""
    [definition] = ast.parse(inspect.getsource(owner)).body
    assert isinstance(definition, ast.ClassDef)
    told: dict[str, str] = {}
    for statement, following in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            match following:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    told[statement.target.id] = text.replace("``", "`")
    return told


def _default(value: Any) -> str:
    match value:
        case timedelta():
            return code(f"{value.total_seconds():g}")
        case Path() if value.is_relative_to(ROOT):
            return code(value.relative_to(ROOT))
        case bool():
            return code(str(value).lower())
        case SecretStr() | None | ():
            return ""
        case _ if value is PydanticUndefined:
            return "**required**"
        case _:
            return code(json.dumps(value) if isinstance(value, tuple) else value) if value else ""

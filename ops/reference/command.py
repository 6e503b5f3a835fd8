"""The `genius` command with all its subcommands and options."""

from collections.abc import Iterator
from typing import Any

import typer

from ops.reference.markdown import code, table

INTRODUCTION = """# The `genius` command

Every command explains itself with `--help`. Settings come from the environment, see [Settings](settings.md);
while `genius up` runs in this checkout, every command in another shell finds its servers by itself.

"""


def command_page(app: typer.Typer) -> str:
    """Return the page of *app*."""
    return INTRODUCTION + "".join(
        _section(path, command) for path, command in commands(typer.main.get_command(app))
    )


def commands(command: Any, path: str = "genius") -> Iterator[tuple[str, Any]]:
    """Return every command that does something, with the words that lead to it."""
    below = getattr(command, "commands", {})
    if path != "genius" and (not below or command.invoke_without_command):
        yield path, command
    for name, each in sorted(below.items()):
        yield from commands(each, f"{path} {name}")


def _section(path: str, command: Any) -> str:
    context = typer.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    rows = [_parameter(each) for each in command.params if not getattr(each, "hidden", False)]
    options = table(["", "what it is", "default"], rows) if rows else ""
    return f"\n## {path}\n\n{(command.help or '').strip()}\n\n```text\n{usage}\n```\n\n{options}"


def _parameter(parameter: Any) -> tuple[str, str, str]:
    names = " ".join(code(name) for name in (*parameter.opts, *parameter.secondary_opts))
    default = parameter.default
    shown = "" if default is None or default is False or callable(default) else code(default)
    required = " (required)" if parameter.required else ""
    return names, f"{getattr(parameter, 'help', None) or ''}{required}", shown

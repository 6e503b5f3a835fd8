"""`genius demo`: the main job for several tenants, shown and checked."""

import typer


def demo() -> None:
    """Run the main job for several tenants on servers of its own, show what happened, stop everything."""
    from ops.demo.run import main  # noqa: PLC0415 - no other command should pay for what it imports

    raise typer.Exit(main())

"""Settings for commands that use a system which runs already."""

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from config.settings import Settings, get_settings
from models.session import Database, open_database
from ops.error import OperatorError


class NotConfiguredError(OperatorError):
    """Settings are missing or wrong; carries their variables."""

    def __init__(self, problems: dict[str, str]) -> None:
        listed = "\n".join(f"  {variable}: {problem}" for variable, problem in problems.items())
        super().__init__(
            f"The settings are not complete:\n{listed}\n"
            "Run `genius up` in another shell, which sets all of them, or set them in the environment or in "
            "`.env` (see .env.example)."
        )
        self.problems = problems


def settings_in_force() -> Settings:
    """Read the settings from the environment, the running stack's file or ``.env``."""
    try:
        return get_settings()
    except ValidationError as error:
        problems = {_variable(problem["loc"]): problem["msg"] for problem in error.errors()}
        raise NotConfiguredError(problems) from None


@contextmanager
def database_in_force() -> Iterator[Database]:
    """Open the database of the settings in force for the length of one command."""
    database = open_database(settings_in_force(), pool_size=1)
    try:
        yield database
    finally:
        database.engine.dispose()


def _variable(location: tuple[int | str, ...]) -> str:
    return f"GENIUS_{location[0]}".upper() if location else "GENIUS_"

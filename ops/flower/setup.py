"""What Flower is told when it starts: who may see it, what it shows and where it keeps that."""

import os
import sys
from typing import Any, Final

import flower.events
import flower.urls
import flower.views.tasks
from flower.views.auth import LoginHandler
from flower.views.monitor import Healthcheck
from tornado.web import StaticFileHandler, url

from config.logging import configure_logging
from config.settings import FlowerRole, Settings, get_settings
from ops.flower.access import LOOPBACK_NAMES, Doorman, Person, guarded, named
from ops.flower.desk import Desk, open_desk
from ops.flower.pages import PAGES
from ops.flower.shown import naming
from ops.flower.task import PointerTask
from ops.flower.template import Templates

STATIC: Final = "/static/(.*)"
STOCK_COLUMNS: Final = "name,uuid,state,received,runtime,worker"
COLUMNS: Final = "name,organization,uuid,state,received,runtime,worker"
STOCK_MOST_TASKS: Final = 100_000
MOST_TASKS: Final = 10_000
"""Each takes some kilobytes, and all are written down at once while nothing else happens."""
SAVED_EVERY_MS: Final = 300_000

NO_CREDENTIALS: Final = """\
Flower does not start without credentials: it can stop workers and shows every organization's jobs.
Name who may see it in GENIUS_FLOWER_USERS='{"ada": {"password": "...", "role": "operator"}}' or in
FLOWER_BASIC_AUTH=name:password, or let people sign in by OAuth (docs/operators.md).
On a machine of your own, GENIUS_FLOWER_OPEN=true with --address=127.0.0.1 lets everybody on it in."""


def configure(options: Any) -> None:
    """Set Flower up; ends the process when nobody could be told from anybody."""
    settings = get_settings()
    configure_logging(settings)
    doorman = doorman_of(options, settings)
    if doorman is None:
        sys.exit(NO_CREDENTIALS)
    _remember(options, settings)
    desk = open_desk(settings)
    _show(options, desk)
    flower.urls.settings.update(
        doorman=doorman,
        desk=desk,
        static_handler_class=guarded(StaticFileHandler, STATIC),  # Tornado adds its own route to it
        template_loader=Templates(flower.urls.settings["template_path"]),
        xsrf_cookie_kwargs={"samesite": "Strict"},
    )
    flower.urls.handlers[:] = routes(flower.urls.handlers, oauth=bool(options.auth))


def doorman_of(options: Any, settings: Settings) -> Doorman | None:
    """Return who knows the people; None when there are none."""
    roles: dict[str, FlowerRole] = {name: user.role for name, user in settings.flower_users.items()}
    passwords = {
        name: user.password.get_secret_value()
        for name, user in settings.flower_users.items()
        if user.password is not None
    }
    stock = named(options.basic_auth or [])
    operator: FlowerRole = "operator"
    passwords, roles = stock | passwords, dict.fromkeys(stock, operator) | roles
    _check(passwords)
    if passwords or options.auth:
        options.basic_auth = [f"{name}:{password}" for name, password in passwords.items()]
        return Doorman(passwords, roles, emails=options.auth or None, read_only=options.read_only)
    local = options.unix_socket or (options.address and options.address in LOOPBACK_NAMES)
    if not settings.flower_open or not local:
        return None
    return Doorman({}, {}, open_to=Person("anybody", "reader" if options.read_only else "operator"))


def _check(passwords: dict[str, str]) -> None:
    for name, password in passwords.items():
        if not name or ":" in name or not password:
            sys.exit(f"Flower: {name!r} needs a name without a colon and a password that is not empty.")


def _remember(options: Any, settings: Settings) -> None:
    """Keep what was seen over a restart, unless told otherwise or there is nowhere to keep it."""
    if options.max_tasks == STOCK_MOST_TASKS:
        options.max_tasks = MOST_TASKS
    if "FLOWER_PERSISTENT" in os.environ:
        return
    try:
        settings.flower_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        print(f"Flower keeps nothing: {error}. Set GENIUS_FLOWER_DIRECTORY.", file=sys.stderr)
        return
    options.persistent = True
    options.db = str(settings.flower_directory / "tasks") if options.db == "flower" else options.db
    options.state_save_interval = options.state_save_interval or SAVED_EVERY_MS


def _show(options: Any, desk: Desk) -> None:
    flower.events.EventsState.Task = PointerTask
    flower.views.tasks.TASK_COLUMNS |= {"organization": "Organization", "uuid": "Job : attempts before"}
    if options.tasks_columns == STOCK_COLUMNS:
        options.tasks_columns = COLUMNS
    options.format_task = naming(desk.directory)


def routes(stock: list[Any], *, oauth: bool) -> list[Any]:
    """Return our pages and Flower's, each behind the guard but the health check and the way to sign in."""
    routes = []
    for route in [*PAGES, *stock]:
        pattern, handler, arguments, name = _parts(route)
        if handler is LoginHandler and not oauth:
            continue
        if handler not in {Healthcheck, LoginHandler}:
            handler = guarded(handler, pattern)
        routes.append(url(pattern, handler, arguments, name=name))
    return routes


def _parts(route: Any) -> tuple[str, type[Any], dict[str, Any] | None, str | None]:
    if isinstance(route, tuple):
        pattern, handler, *arguments = route
        return pattern, handler, arguments[0] if arguments else None, None
    return route.regex.pattern, route.handler_class, route.kwargs, route.name

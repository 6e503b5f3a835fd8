"""Stop a run that may not go on (job cancelled, organization suspended) and does not stop by itself.

Only a process of a prefork pool can be interrupted: it runs one job, in its main thread. A thread cannot:
what runs in one goes on to its next safe step, or to its end.
"""

import os
import signal

import structlog
from billiard.pool import soft_timeout_sighandler

log = structlog.get_logger(__name__)


def may_interrupt() -> bool:
    """Tell whether this process runs one job, in its main thread."""
    return signal.getsignal(signal.SIGUSR1) is soft_timeout_sighandler


def insist(times_noticed: int) -> None:
    """Interrupt this process's run the second time it is found going on; end the process the third time.

    The interruption is that of a soft time limit: the body may tidy up, its transaction rolls back. A job
    that was cancelled and dies with its process is cancelled once its lease has lapsed.
    """
    if not may_interrupt():
        return
    if times_noticed == 2:  # noqa: PLR2004 - once it is left to the body
        log.warning("interrupting a run that may not go on")
        os.kill(os.getpid(), signal.SIGUSR1)
    elif times_noticed > 2:  # noqa: PLR2004
        log.error("ending the process of a run that may not go on and does not stop")
        os.kill(os.getpid(), signal.SIGKILL)

"""Run one program so that it cannot outlive the process that started it.

A script, not a module: started as ``python -I -S launch.py PARENT SIGNAL USER PROGRAM ARGUMENT...`` it
turns into PROGRAM. Arranging things after an exec is safe; in the fork of a threaded process it is not.

PARENT is the process whose death ends the program by SIGNAL (a number); elsewhere than on Linux nothing does.
USER is ``-``, or ``uid:gid`` to become first, for a server that refuses to run as root. That user keeps the
right to pass directories closed to it, so a checkout under root's home works and no permission has to change.
"""

import ctypes
import os
import signal
import sys

SET_PARENT_DEATH_SIGNAL = 1
SET_SECURE_BITS = 28
KEEP_CAPABILITIES_ON_SETUID = 1 << 2  # SECBIT_NO_SETUID_FIXUP; without it access(2) ignores the capability
AMBIENT = 47
AMBIENT_RAISE = 2
CAPABILITY_VERSION_3 = 0x20080522
DAC_OVERRIDE = 1


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"cannot {what}: {os.strerror(ctypes.get_errno())}")


def become(uid: int, gid: int) -> None:
    """Become an ordinary user who, where the kernel grants it, may still pass root's directories."""
    bypass = _bypass_survives()
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if bypass:
        _keep_only_bypass()


def _bypass_survives() -> bool:
    """Ask that a change of user takes no capability away; a container may refuse it."""
    if sys.platform != "linux":
        return False
    return bool(_libc().prctl(SET_SECURE_BITS, KEEP_CAPABILITIES_ON_SETUID, 0, 0, 0) == 0)


def _keep_only_bypass() -> None:
    """Give up every capability but the one that passes closed directories, and hand that to the program."""
    mask = 1 << DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)  # effective, permitted, inheritable; upper halves
    if _libc().capset(header, sets) != 0:  # not ours to keep: then none is kept
        nothing = (ctypes.c_uint32 * 6)()
        _checked(_libc().capset(header, nothing), "give up capabilities")
        return
    _checked(_libc().prctl(AMBIENT, AMBIENT_RAISE, DAC_OVERRIDE, 0, 0), "hand a capability on")


def follow_to_the_grave(parent: int, number: int) -> None:
    """Have the kernel send signal *number* to this process when *parent* dies, however it dies.

    Comes after every change of user, which clears the request.
    """
    _checked(_libc().prctl(SET_PARENT_DEATH_SIGNAL, number, 0, 0, 0), "follow the parent")
    if os.getppid() != parent:  # it died before the kernel was asked
        sys.exit(1)


def main(parent: str, number: str, user: str, *command: str) -> None:
    """Arrange the two things above, then change into *command*."""
    if user != "-":
        uid, gid = user.split(":")
        become(int(uid), int(gid))
    if sys.platform == "linux":
        follow_to_the_grave(int(parent), int(number))
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and the program would inherit that
    os.execv(command[0], command)  # noqa: S606 - the caller names the program by its full path


if __name__ == "__main__":
    main(*sys.argv[1:])

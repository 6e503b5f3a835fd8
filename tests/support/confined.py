"""Run a program as in a container: few folders may be written, no capability, a host name of its own.

A script: ``python confined.py HOSTNAME WRITABLE:WRITABLE... PROGRAM ARGUMENT...``. It confines itself by
Landlock (Linux 5.19 and later), so it needs no engine and no root; a kernel without it is named on standard
error, and the program runs all the same. Only root gets the host name.
"""

import ctypes
import os
import sys
from collections.abc import Iterable

LIBC = ctypes.CDLL(None, use_errno=True)
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
PATH_BENEATH = 1
WRITE_FILE, REMOVE_AND_MAKE, REFER, TRUNCATE = 1 << 1, 0b1_1111_1111 << 4, 1 << 13, 1 << 14
WRITING = WRITE_FILE | REMOVE_AND_MAKE | REFER | TRUNCATE
SET_NO_NEW_PRIVILEGES, DROP_FROM_BOUNDING_SET = 38, 24
LAST_CAPABILITY = 63
CAPABILITY_VERSION_3 = 0x20080522
NEW_HOSTNAMES = 0x04000000


class PathBeneath(ctypes.Structure):
    """What may be done below a folder."""

    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def take_hostname(name: str) -> None:
    """Be called *name*, in a namespace of our own."""
    if LIBC.unshare(NEW_HOSTNAMES) == 0:
        LIBC.sethostname(name.encode(), len(name))


def write_only_below(folders: Iterable[str]) -> None:
    """Let nothing else be written, from here on and by every child."""
    handled = ctypes.c_uint64(WRITING)
    ruleset = LIBC.syscall(CREATE_RULESET, ctypes.byref(handled), ctypes.sizeof(handled), 0)
    if ruleset < 0:
        print("NO LANDLOCK: this process may write everywhere", file=sys.stderr)  # noqa: T201 - a script
        return
    for folder in folders:
        beneath = PathBeneath(WRITING, os.open(folder, os.O_PATH | os.O_CLOEXEC))
        LIBC.syscall(ADD_RULE, ruleset, PATH_BENEATH, ctypes.byref(beneath), 0)
    if LIBC.syscall(RESTRICT_SELF, ruleset, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot confine this process")


def give_up_privileges() -> None:
    """Keep no capability, and gain none by any program."""
    for capability in range(LAST_CAPABILITY + 1):
        LIBC.prctl(DROP_FROM_BOUNDING_SET, capability, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    LIBC.capset(header, (ctypes.c_uint32 * 6)())
    if LIBC.prctl(SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot give up new privileges")


def main(hostname: str, writable: str, *command: str) -> None:
    """Confine this process and turn into *command*."""
    take_hostname(hostname)
    give_up_privileges()
    write_only_below(["/dev", *writable.split(":")])
    os.execvp(command[0], command)  # noqa: S606 - the caller names the program


if __name__ == "__main__":
    main(*sys.argv[1:])

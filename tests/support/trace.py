"""What a system left behind."""

from pathlib import Path

import psutil


def processes_of(directory: Path) -> list[psutil.Process]:
    """Find every live process that names *directory* in its arguments or environment, or works inside it."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd", "environ", "status"]):
        words = [*(process.info["cmdline"] or []), process.info["cwd"] or ""]
        words += (process.info["environ"] or {}).values()
        if any(str(directory) in word for word in words) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found

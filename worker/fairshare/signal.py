"""A descriptor that is readable exactly while it is raised."""

import os


class Signal:
    """Lets a poller wait for something that happens inside the process."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._raised = False

    def fileno(self) -> int:
        """Return the descriptor to watch."""
        return self._read

    def set(self, raised: bool) -> None:  # noqa: FBT001 - the one thing it does
        """Raise or lower the signal."""
        if raised == self._raised:
            return
        if raised:
            os.write(self._write, b"!")
        else:
            os.read(self._read, 1)
        self._raised = raised

    def close(self) -> None:
        """Release the descriptors."""
        os.close(self._read)
        os.close(self._write)

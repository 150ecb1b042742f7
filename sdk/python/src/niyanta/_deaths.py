"""What the end of a handler's process means, if it came without a result."""

from __future__ import annotations

import signal
from pathlib import Path

from ._handlers import Ended
from .stops import Stopped

# Statuses 64 to 78 (sysexits.h) say that trying again is pointless.
_PERMANENT = range(64, 79)
# What shells add to the number of the signal that ended a program, as a status.
_SIGNALLED = 128


def died(status: int, cause: Stopped | None, out_of_memory: bool) -> Ended:
    """Returns the end of a run whose process has ended, as a worker tells it of a program.

    status is negative for a signal. cause is why it was told to stop. A process that was told to stop
    and fails by itself has failed.
    """
    if cause is not None and (status < 0 or status in (0, _SIGNALLED + signal.SIGTERM)):
        return Ended(stopped=True)
    if status >= 0:
        more = "" if status else " without a result"
        return Ended(error_type="exit_status", message=f"exit status {status}{more}", permanent=status in _PERMANENT)
    name = (signal.strsignal(-status) or "unknown").lower()
    message = f"killed by signal {-status} ({name})"
    if out_of_memory and status == -signal.SIGKILL:
        return Ended(error_type="resources", message=f"{message}: its machine or container is out of memory")
    return Ended(error_type="signal", message=message)


class OutOfMemory:
    """Counts the processes that the kernel has killed because memory was short: those of the control
    group of this process, and where there is none, those of the machine."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._file = _counter(root)

    def kills(self) -> int:
        """Returns the count; 0: it is not known."""
        if self._file is None:
            return 0
        try:
            words = self._file.read_text().split()
            return int(words[words.index("oom_kill") + 1])
        except (OSError, ValueError, IndexError):
            return 0


def _counter(root: Path) -> Path | None:
    groups = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None  # another system
    candidates = []
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controllers == "":
            # A container sees its own group as the root.
            candidates += [groups / path.lstrip("/") / "memory.events", groups / "memory.events"]
        elif "memory" in controllers.split(","):
            candidates += [groups / "memory" / path.lstrip("/") / "memory.oom_control",
                           groups / "memory/memory.oom_control"]
    candidates.append(root / "proc/vmstat")
    return next((c for c in candidates if c.is_file()), None)

"""Holds the processes of isolated runs to their `resource_limits`, and tells what they have used.

As programs of Go workers without control groups: the kernel bounds what one process can map, and
its CPU time; the memory of all processes of the run together is looked at again and again.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ._run import Assignment

# How many times its memory limit a process may map. Programs map more than they use: this only
# bounds what a process can take before somebody looks.
_DATA_FACTOR = 4
# The shortest time between two looks, and how much shorter than that a look must be.
_WATCH_INTERVAL, _WATCH_SHARE = 0.2, 10
# The time after the end of its CPU time after which a process that goes on is killed, in seconds.
_CPU_GRACE = 5


@dataclass(frozen=True)
class Limits:
    """What one run may use. 0: there is no limit."""

    memory_mb: int = 0
    #: Of each process: as much as the cores give until the run's timeout.
    cpu_seconds: int = 0

    @classmethod
    def of(cls, a: Assignment) -> Limits:
        """Returns the limits of a run that can be held."""
        memory, cores = a.resource_limits.get("memory_mb") or 0, a.resource_limits.get("cpu_cores") or 0
        return cls(int(memory), math.ceil(cores * a.timeout_ms / 1000) if cores > 0 and a.timeout_ms > 0 else 0)

    def apply(self) -> None:
        """Limits this process, and those that it starts."""
        if sys.platform == "win32":
            return
        import resource

        if self.memory_mb > 0 and hasattr(resource, "RLIMIT_DATA"):
            size = self.memory_mb << 20
            # What was mapped before the run began, such as large libraries, is not its own.
            _lower(resource.RLIMIT_DATA, max(_DATA_FACTOR * size, _mapped() + size), 0)
        if self.cpu_seconds > 0:
            _lower(resource.RLIMIT_CPU, self.cpu_seconds, _CPU_GRACE)


def _lower(which: int, to: int, grace: int) -> None:
    import resource

    _, most = resource.getrlimit(which)
    hard = to + grace if most == resource.RLIM_INFINITY else min(to + grace, most)
    resource.setrlimit(which, (min(to, hard), hard))


def _mapped() -> int:
    """Returns the private writable memory that this process has mapped, in bytes; 0: it is not known."""
    return _kilobytes("/proc/self/status", ("VmData:",)) << 10


@dataclass
class Used:
    """What a run has used when its processes are gone."""

    status: int
    cpu_ms: int = 0
    peak_memory_mb: int = 0
    #: How it went over a limit; empty: it did not.
    over: str = ""

    @classmethod
    def read(cls, message: dict[str, Any]) -> Used:
        return cls(**{k: v for k, v in message.items() if k != "reaped"})

    def of_limits(self, limits: Limits) -> str:
        """Returns how the run went over its limits; empty: it did not."""
        late = self.status == -signal.SIGKILL and self.cpu_ms >= limits.cpu_seconds * 1000
        if not self.over and limits.cpu_seconds > 0 and (late or self.status == -signal.SIGXCPU):
            return (f"the run used {self.cpu_ms / 1000:.0f} s of CPU time, and its limit is {limits.cpu_seconds} s: "
                    "what its cores give until its timeout")
        return self.over

    def shown(self) -> dict[str, int]:
        """Returns what reports tell."""
        return {k: v for k, v in (("cpu_ms", self.cpu_ms), ("peak_memory_mb", self.peak_memory_mb)) if v}


@dataclass
class Watch:
    """Looks at the memory of process groups."""

    #: The limits by process group, in MB, and how those that are gone went over them.
    limits: dict[int, int] = field(default_factory=dict)
    over: dict[int, str] = field(default_factory=dict)
    peaks: dict[int, int] = field(default_factory=dict)
    _next: float = 0

    def wait(self) -> float | None:
        """Returns how long the next look has time; None: nothing is looked at."""
        return max(self._next - time.monotonic(), 0.0) if self.limits else None

    def look(self) -> list[int]:
        """Returns the groups that are over their limits now."""
        began = time.monotonic()
        if not self.limits or began < self._next:
            return []
        members: dict[int, list[int]] = {}
        for pid, group in _groups():
            if group in self.limits:
                members.setdefault(group, []).append(pid)
        found = []
        for group, pids in members.items():
            limit = self.limits[group] << 20
            used = _used(pids, limit)
            self.peaks[group] = max(self.peaks.get(group, 0), used)
            if used > limit and group not in self.over:
                self.over[group] = (
                    f"the run used {used >> 20} MB of memory, and its limit is {self.limits[group]} MB"
                )
                found.append(group)
        self._next = time.monotonic() + max(_WATCH_INTERVAL, _WATCH_SHARE * (time.monotonic() - began))
        return found

    def pass_over(self) -> list[int]:
        """Puts a look off that has failed."""
        self._next = time.monotonic() + _WATCH_INTERVAL
        return []

    def forget(self, group: int) -> tuple[str, int]:
        """Returns how a group went over its limit, and the most memory that was seen, in bytes."""
        self.limits.pop(group, None)
        return self.over.pop(group, ""), self.peaks.pop(group, 0)


def _groups() -> Iterable[tuple[int, int]]:
    """Yields each process with its process group."""
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as f:
                    yield int(name), int(f.read().rsplit(b")", 1)[1].split()[2])
            except (OSError, IndexError, ValueError):
                continue  # it has ended


def _used(pids: list[int], limit: int) -> int:
    """Returns how much memory processes use that is no file's, in bytes, exactly if it may be over the limit."""
    occupied = [_occupies(pid) for pid in pids]
    own, shared = sum(o for o, _ in occupied), sum(s for _, s in occupied)
    # What is written into an anonymous file belongs to no process until it is mapped. So it is either
    # among what is shared, or not seen there.
    files = _unmapped(pids)
    used = own + max(shared, files)
    if used <= limit:
        return used
    try:  # pages that processes share were counted for each
        own = sum(_kilobytes(f"/proc/{pid}/smaps_rollup", ("Pss_Anon:",)) for pid in pids) << 10
        shared = sum(_kilobytes(f"/proc/{pid}/smaps_rollup", ("Pss_Shmem:",)) for pid in pids) << 10
    except PermissionError:
        return used
    return own + max(shared, files) or used


def _occupies(pid: int) -> tuple[int, int]:
    """Returns the memory of a process in bytes: its own, and what it may share and is no file's."""
    try:
        own = _kilobytes(f"/proc/{pid}/status", ("RssAnon:",)) << 10
        if own:
            return own, _kilobytes(f"/proc/{pid}/status", ("RssShmem:",)) << 10
        # A kernel that does not tell them apart: what is shared is among the pages of files here.
        with open(f"/proc/{pid}/statm", "rb") as f:
            fields = f.read().split()
        return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE"), 0
    except (OSError, IndexError, ValueError):
        return 0, 0


def _unmapped(pids: list[int]) -> int:
    """Returns how much memory there is in anonymous files that processes hold open, in bytes."""
    found: dict[int, int] = {}
    for pid in pids:
        try:
            names = os.listdir(f"/proc/{pid}/fd")
        except OSError:  # it has ended, or does not let this process look
            continue
        for name in names:
            try:
                path = f"/proc/{pid}/fd/{name}"
                if os.readlink(path).startswith("/memfd:"):
                    info = os.stat(path)
                    found[info.st_ino] = info.st_blocks * 512
            except OSError:
                continue
    return sum(found.values())


def _kilobytes(path: str, names: tuple[str, ...]) -> int:
    try:
        with open(path, encoding="ascii", errors="replace") as f:
            return sum(int(line.split()[1]) for line in f if line.startswith(names))
    except PermissionError:
        raise
    except (OSError, IndexError, ValueError):
        return 0

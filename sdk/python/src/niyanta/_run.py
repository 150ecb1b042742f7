"""One workload at one generation on this worker."""

from __future__ import annotations

import asyncio
import functools
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import _codec
from ._holding import NOTHING
from .resources import DeviceShare, Reservation
from .stops import LeaseLost, Stopped

if TYPE_CHECKING:
    from ._hosts import Host

#: How long a run that was told to stop may take: first for its checkpoint, then for the rest.
STOP_GRACE = 10.0
#: The part of the lease before whose end the worker fences itself.
LEASE_MARGIN = 0.2

STARTING, RUNNING, STOPPING, REPORTING = "starting", "running", "stopping", "reporting"

if sys.platform == "linux":

    def clock() -> float:
        """Returns monotonic seconds that go on while the process or the machine is frozen."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:
    clock = time.monotonic

Key = tuple[str, int]


@dataclass
class Session:
    """One life of the worker. `holds` may be called in any thread."""

    id: str
    lease: float
    interval: float
    #: When the last answered heartbeat was sent.
    answered: float
    over: bool = False
    number: int = 0

    @property
    def fence_at(self) -> float:
        """When the worker must have stopped, unless another heartbeat is answered."""
        return self.answered + self.lease * (1 - LEASE_MARGIN)

    def holds(self) -> bool:
        """Reports whether the worker may act in this session."""
        return not self.over and clock() < self.fence_at


@dataclass(frozen=True)
class Assignment:
    """All that a worker needs to run a workload."""

    workload_id: str
    customer_id: str
    workload_type: str
    generation: int
    input_params: Any = None
    labels: dict[str, str] = field(default_factory=dict)
    config_json: Any = None
    resource_limits: dict[str, float] = field(default_factory=dict)
    #: What it reserves, and what it gets of the worker's devices.
    resources: Reservation = NOTHING
    devices: list[DeviceShare] = field(default_factory=list)
    checkpoint_interval_ms: int = 0
    timeout_ms: int = 0
    max_retries: int = 0
    attempt: int = 0
    checkpoint_sequence: int = 0
    progress_percent: float = 0
    #: The request that submitted it, and the span of this run.
    request_id: str = ""
    traceparent: str = ""
    #: What of it this worker cannot read, and why; empty: nothing.
    unreadable: str = ""

    @property
    def key(self) -> Key:
        return self.workload_id, self.generation


@dataclass
class Line:
    """A line for the workload's log."""

    at: str
    level: str
    message: str
    #: JSON.
    details: bytes | None = None

    def size(self) -> int:
        return len(self.message) + len(self.details or b"") + 64

    def encoded(self) -> bytes:
        """Returns the line as JSON."""
        data = _codec.dumps({"at": self.at, "level": self.level, "message": self.message})
        return data if self.details is None else data[:-1] + b',"details":' + self.details + b"}"


@dataclass(eq=False)
class Run:
    """The state of a run. Only the control loop changes it; other threads read `cause`."""

    session: Session
    assignment: Assignment
    accepted: float
    host: Host
    state: str = STARTING
    #: The newest durable checkpoint.
    sequence: int = 0
    #: Why it has to stop; None: it has not.
    cause: Stopped | None = None
    #: It may not save any more: nobody waits for its checkpoint.
    aborted: asyncio.Event = field(default_factory=asyncio.Event)
    #: The coordinator knows that it has started, or it is abandoned.
    acknowledged: asyncio.Event = field(default_factory=asyncio.Event)
    #: It may report nothing any more.
    abandoned: bool = False
    stuck: bool = False
    stuck_told: bool = False
    cancelled_at: float = 0
    #: When it is told to stop, whether or not it could save.
    halt_by: float = 0
    halting: Stopped | None = None
    preempting: bool = False
    resumable: bool = False
    deadline: float = 0
    next_pull: float = 0
    pulling: bool = False
    pull_again: bool = False
    percent: float = 0
    message: str = ""
    pulled_at: float = 0
    #: How many saves its handler has begun, and how often it has told its progress.
    begun: int = 0
    reported: int = 0
    #: A checkpoint was sent under the next sequence, and it is not known whether it is stored.
    unsettled: bool = False
    #: Progress that is not reported yet.
    progress: tuple[float, str] | None = None
    progress_at: float = 0
    lines: deque[Line] = field(default_factory=deque)
    line_bytes: int = 0
    dropped: int = 0
    #: Reports, or lines, of it are under way. The next ones wait, so that they arrive in order.
    sending: object = None
    sending_lines: object = None
    ended_at: float = 0

    @functools.cached_property
    def saving(self) -> asyncio.Lock:
        """Is held while a checkpoint is saved."""
        return asyncio.Lock()

    @functools.cached_property
    def key(self) -> Key:
        return self.assignment.key

    def grace_left(self) -> float:
        """Returns how much longer it may save and return after it was told to stop."""
        return self.cancelled_at + STOP_GRACE - clock()

    def must_stop(self) -> Stopped | None:
        """Returns why it must stop. May be called in any thread."""
        if self.cause is None and not self.session.holds():
            return LeaseLost()
        return self.cause

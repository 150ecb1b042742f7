"""Calls from one thread into the event loop of another, and what handlers tell on their way."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._outbox import LINE_BYTES_WAITING, LINES_WAITING, now_text
from ._run import Line, Run

if TYPE_CHECKING:
    from ._agent import Agent


class Mailbox:
    """Calls functions in an event loop, in order. `call` may be called in any thread.

    Waking a loop costs a system call and a change of threads. Calls that come while it is on its
    way to an earlier one cost nothing more.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._woken = False

    def call(self, f: Callable[..., Any], *args: Any) -> None:
        """Calls f in the loop. After the end of the loop it does nothing."""
        self._calls.append((f, args))
        # Two threads may both wake it, which does no harm: the second time nothing is left.
        if not self._woken:
            self._woken = True
            self._wake()

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._run)
        except RuntimeError:
            pass  # it is closed

    def _run(self) -> None:
        self._woken = False  # before the first look: what comes from now on wakes it again
        # Not all that comes meanwhile: the loop has other things to do.
        for _ in range(len(self._calls)):
            f, args = self._calls.popleft()
            try:
                f(*args)
            except Exception as e:
                self._loop.call_exception_handler({"message": f"calling {f!r} failed", "exception": e})


class Telling:
    """The lines and the progress of one run on their way to the control loop.

    A handler tells as fast as it likes: what waits is bounded, and only the newest is kept. The
    control loop is woken once for all that waits, so a flood does not keep it from its heartbeats.
    """

    def __init__(self, agent: Agent, run: Run) -> None:
        self._agent, self._run = agent, run
        self._lock = threading.Lock()
        self._lines: deque[Line] = deque()
        self._bytes = self._dropped = 0
        self._progress: tuple[float, str] | None = None
        self._woken = False

    def line(self, level: str, message: str, details: bytes | None) -> None:
        line = Line(now_text(), level, message, details)
        with self._lock:
            self._lines.append(line)
            self._bytes += line.size()
            while len(self._lines) > LINES_WAITING or self._bytes > LINE_BYTES_WAITING:
                self._bytes -= self._lines.popleft().size()
                self._dropped += 1
            woken, self._woken = self._woken, True
        if not woken:
            self._agent.call(self._hand_over)

    def report(self, percent: float, message: str) -> None:
        with self._lock:
            self._progress = (percent, message)
            woken, self._woken = self._woken, True
        if not woken:
            self._agent.call(self._hand_over)

    def _hand_over(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, deque()
            dropped, progress = self._dropped, self._progress
            self._bytes = self._dropped = 0
            self._progress, self._woken = None, False
        if lines:
            self._agent.runs.log_lines(self._run, lines, dropped)
        if progress is not None:
            self._agent.runs.report(self._run, *progress)

"""Runs a handler in a test, without servers. It crashes, stops or retries runs, to prove that none
of it costs anything."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from . import _codec
from ._handlers import Ended, Handler, raised, run_async, run_sync
from ._run import Assignment
from .errors import NiyantaError
from .stops import Fenced, LeaseLost, Stopped, Timeout

__all__ = ["Failed", "Kit", "Line"]


class Failed(NiyantaError):
    """The workload failed for good. `trace` is the traceback of the last run."""

    def __init__(self, ended: Ended) -> None:
        self.error_type, self.permanent, self.trace = ended.error_type, ended.permanent, ended.trace
        super().__init__(f"{ended.error_type}: {ended.message}" + (f"\n{ended.trace}" if ended.trace else ""))


@dataclass(frozen=True)
class Line:
    """A line that the handler logged."""

    level: str
    message: str
    details: dict[str, Any] | None


class _Crashed(Stopped):
    """What a crashed run sees, if it looks: its process is gone."""


class Kit:
    """Runs one handler: a coroutine or a function, as a worker would. Input, states and results
    travel as JSON, as they do between processes.

    `max_runs` ends a test whose workload never finishes. `max_retries` is how often a run is tried
    again after a failure that is not permanent; the kit does not wait in between. `timeout` ends a
    run with Timeout, in seconds. `config` is the customer's configuration of the type.
    """

    def __init__(
        self, function: Callable[..., Any], *, max_runs: int = 1000, max_retries: int = 0,
        timeout: float | None = None, labels: Mapping[str, str] | None = None, config: Any = None,
    ) -> None:
        self._handler = Handler("kit", function)
        self._max_runs, self._max_retries, self._timeout = max_runs, max_retries, timeout
        self._labels, self._config = dict(labels or {}), config
        self._forget()

    def _forget(self) -> None:
        self._saved: bytes | None = None
        #: How many runs it took, and how many of them failed.
        self.runs = self.failed = 0
        #: What each durable checkpoint held, as JSON values.
        self.states: list[Any] = []
        #: The progress that was told, with checkpoints and beside them.
        self.progress: list[tuple[float, str]] = []
        #: The pauses, in seconds, that failures asked for; None: the platform's backoff.
        self.pauses: list[float | None] = []
        self.lines: list[Line] = []

    def run(self, input_params: Any) -> Any:
        """Runs the workload to its end without a crash, and returns its result."""
        return self._run(input_params, 0, None)

    def run_crashing_after(self, n: int, input_params: Any) -> Any:
        """Runs the workload and crashes every run after its n-th checkpoint, each time starting another
        from what was saved, until one ends by itself."""
        return self._run(input_params, n, _Crashed)

    def run_stopping_after(self, n: int, cause: type[Stopped], input_params: Any) -> Any:
        """Runs the workload and has every run stop after its n-th checkpoint, with Paused, Draining,
        Preempted, LeaseLost or Fenced. Another run continues from what was saved, until one ends by
        itself."""
        if not cause.saves and cause not in (LeaseLost, Fenced):
            raise ValueError(f"no run continues after {cause.__name__}")
        return self._run(input_params, n, cause)

    def _run(self, input_params: Any, stop_after: int, cause: type[Stopped] | None) -> Any:
        if cause is not None and stop_after < 1:
            raise ValueError(f"checkpoint {stop_after}: it must be at least 1")
        self._forget()
        value = json.loads(_codec.dumps(input_params))
        while self.runs < self._max_runs:
            self.runs += 1
            link = _Link(self, stop_after, cause, self._timeout)
            ended = self._once(link, value)
            # A run that was stopped has no outcome of its own, whatever its handler made of it, if
            # it no longer held the workload.
            if link.cause is not None and not isinstance(link.cause, Timeout) and (
                ended.stopped or not link.cause.saves
            ):
                continue
            if ended.result is not None:
                return json.loads(ended.result)
            if isinstance(link.cause, Timeout) and ended.stopped:
                ended = Ended(error_type="timeout", message=f"timed out after {self._timeout:g} s")
            elif ended.stopped:
                ended = Ended(error_type="stopped", message="the handler raised a cancellation that nobody asked for")
            if ended.permanent or self.failed >= self._max_retries:
                raise Failed(ended)
            self.failed += 1
            self.pauses.append(ended.retry_after)
        raise NiyantaError(f"it is not finished after {self._max_runs} runs")

    def _once(self, link: _Link, value: Any) -> Ended:
        assignment = Assignment(
            "wl_kit", "cust_kit", "kit", self.runs, input_params=value, labels=self._labels,
            config_json=self._config, attempt=self.failed, max_retries=self._max_retries,
        )
        try:
            task = self._handler.make_task(link, assignment, self._saved)
        except Exception as e:
            return raised(e, None)
        ended: list[Ended] = []

        async def in_loop() -> Ended:
            running = asyncio.ensure_future(run_async(self._handler, task))
            link.on_stop = lambda: running.get_loop().call_soon_threadsafe(running.cancel)
            timer = None if self._timeout is None else running.get_loop().call_later(self._timeout, link.time_out)
            try:
                return await running
            finally:
                if timer is not None:
                    timer.cancel()

        def body() -> None:
            ended.append(asyncio.run(in_loop()) if self._handler.is_async else run_sync(self._handler, task))

        # In a thread of its own: the test may have an event loop.
        thread = threading.Thread(target=body, daemon=True)
        thread.start()
        thread.join()
        return ended[0]


class _Link:
    """A task's link to the kit."""

    def __init__(self, kit: Kit, stop_after: int, stop: type[Stopped] | None, timeout: float | None) -> None:
        self._kit, self._left, self._stop = kit, stop_after, stop
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self.cause: Stopped | None = None
        self.on_stop: Callable[[], Any] = lambda: None

    def time_out(self) -> None:
        if self.cause is None:
            self.cause = Timeout()
            self.on_stop()

    def save(self, data: bytes, percent: float | None, message: str) -> Future[Stopped | None]:
        done: Future[Stopped | None] = Future()
        cause = self.must_stop()
        if cause is None or cause.saves:
            self._kit._saved = data
            self._kit.states.append(_codec.loads(data))
            if percent is not None:
                self._kit.progress.append((percent, message))
            self._left -= 1
            if self._left == 0 and self._stop is not None:
                self.cause = self._stop()
        done.set_result(self.must_stop())
        return done

    def report(self, percent: float, message: str) -> None:
        if not isinstance(self.cause, _Crashed):
            self._kit.progress.append((percent, message))

    def line(self, level: str, message: str, details: bytes | None) -> None:
        if not isinstance(self.cause, _Crashed):
            self._kit.lines.append(Line(level, message, None if details is None else _codec.loads(details)))

    def must_stop(self) -> Stopped | None:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self.time_out()
        return self.cause

    def wait_stop(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.01))

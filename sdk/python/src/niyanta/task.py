"""One run of a workload, as its handler sees it."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, Protocol, TypeVar

from . import _codec
from ._run import Assignment
from .errors import RunError
from .resources import DeviceShare
from .stops import Stopped

In = TypeVar("In")
State = TypeVar("State")
T = TypeVar("T")

__all__ = ["SyncTask", "Task", "current_task"]

#: The size of the largest checkpoint, in bytes of JSON.
CHECKPOINT_LIMIT = 10 << 20


# The bounds of the texts that are sent, in characters; of details, in bytes of JSON.
LINE_LIMIT, MESSAGE_LIMIT, DETAILS_LIMIT = 8192, 1000, 8192
_LEVELS = {
    given: level
    for level, names in {
        "DEBUG": ("debug", "trace"), "INFO": ("info", "notice"), "WARN": ("warn", "warning"),
        "ERROR": ("error", "critical", "fatal"),
    }.items()
    for name in names for given in (name, name.upper())
}


class Link(Protocol):
    """What a task needs of the worker. Its methods may be called in any thread."""

    def save(self, data: bytes, percent: float | None, message: str) -> Future[Stopped | None]:
        """Saves a checkpoint. The future has why the run must stop, or None, when it is durable."""

    def report(self, percent: float, message: str) -> None: ...

    def line(self, level: str, message: str, details: bytes | None) -> None:
        """Adds a line to the log. The details are JSON."""

    def must_stop(self) -> Stopped | None: ...

    def wait_stop(self, seconds: float) -> None:
        """Waits, but not longer than until the run must stop."""


_current: contextvars.ContextVar[_Task[Any, Any] | None] = contextvars.ContextVar("niyanta_task", default=None)


def current_task() -> _Task[Any, Any] | None:
    """Returns the task of the handler that calls; None: no handler does."""
    return _current.get()


def _percent(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"percent: a number expected, got {type(value).__name__}")
    return min(max(float(value), 0.0), 100.0)


def _details(details: dict[str, Any]) -> bytes:
    """Encodes the details of a line. A value that cannot be written is shown as its text."""
    try:
        data = _codec.dumps(details)
    except Exception:
        data = _codec.dumps({k: _plain(v) for k, v in details.items()})
    if len(data) > DETAILS_LIMIT:
        each = max(DETAILS_LIMIT // (8 * len(details)), 16)
        short = {_codec.clean(k, 100): _codec.clean(_text(v), each) for k, v in list(details.items())[:100]}
        data = _codec.dumps({**short, "cut": f"the details had {len(data)} bytes"})
    return data


def _plain(value: Any) -> Any:
    try:
        _codec.dumps(value)
    except Exception:
        return _codec.clean(_text(value), 1000)
    return value


def _text(value: Any) -> str:
    try:
        return value if isinstance(value, str) else repr(value)
    except Exception:
        return f"<{type(value).__name__} that cannot be shown>"


class _Task(Generic[In, State]):
    def __init__(
        self, link: Link, assignment: Assignment, input_params: In, state: State | None, resumed: bool
    ) -> None:
        self._link, self._assignment = link, assignment
        #: What was submitted.
        self.input: In = input_params
        #: What the last durable checkpoint held when this run began; None: there was none.
        self.state: State | None = state
        #: Reports whether `state` comes from a checkpoint.
        self.resumed = resumed
        #: Reports whether somebody waits for a checkpoint: a client asked for one, or its interval
        #: is over. Saving one resets it.
        self.checkpoint_wanted = False
        self._snapshot: Callable[[], State] | None = None

    @property
    def workload_id(self) -> str:
        """Identifies the workload, the same in every run."""
        return self._assignment.workload_id

    @property
    def customer_id(self) -> str:
        """Whose workload it is."""
        return self._assignment.customer_id

    @property
    def workload_type(self) -> str:
        """The type of the workload."""
        return self._assignment.workload_type

    @property
    def generation(self) -> int:
        """The fencing token of this run: it grows with every assignment. Systems that the handler
        writes to can refuse older ones."""
        return self._assignment.generation

    @property
    def attempt(self) -> int:
        """How many runs failed before this one."""
        return self._assignment.attempt

    @property
    def labels(self) -> dict[str, str]:
        """The workload's labels."""
        return dict(self._assignment.labels)

    @property
    def request_id(self) -> str:
        """Names the request that submitted the workload, as the coordinators' logs do; empty: it is not
        known."""
        return self._assignment.request_id

    @property
    def traceparent(self) -> str:
        """The span of this run, as the value of a header traceparent of the W3C. A tracer that begins its
        spans below it makes them part of the workload's trace. What a `Client` sends in the handler
        carries it by itself. Empty: the run is not traced."""
        return self._assignment.traceparent

    @property
    def devices(self) -> list[DeviceShare]:
        """What this run holds of the worker's devices. It must use no others."""
        return list(self._assignment.devices)

    def config(self, tp: type[T]) -> T | None:
        """Returns the customer's configuration of the type, as a value of tp; None: there is none."""
        raw = self._assignment.config_json
        return None if raw is None else _codec.decode(tp, raw, "config_json")

    def report(self, percent: float, message: str = "") -> None:
        """Tells progress without saving anything. It never blocks; reports are thinned on their way."""
        self._link.report(_percent(percent), _codec.clean(message, MESSAGE_LIMIT))

    def log(self, message: str, level: str = "INFO", **details: Any) -> None:
        """Writes a line to the workload's log, with details beside the message.

        It never blocks and never raises. The level is DEBUG, INFO, WARN or ERROR; others count as INFO.
        """
        shown = _LEVELS.get(level if isinstance(level, str) else "", "INFO")
        self._link.line(shown, _codec.clean(message, LINE_LIMIT), _details(details) if details else None)

    def on_checkpoint(self, snapshot: Callable[[], State]) -> None:
        """Has the platform take checkpoints by itself: at the config's interval, at each tenth of
        progress, on pause and on drain. It calls snapshot beside the handler: for an async handler
        in its event loop, else in another thread."""
        self._snapshot = snapshot

    @property
    def stop_cause(self) -> Stopped | None:
        """Why the run has to stop; None: it goes on."""
        return self._link.must_stop()

    def check(self) -> None:
        """Raises why the run has to stop, if it has to. Call it before each effect that others see,
        and now and then in long computations: a process that was frozen may have lost its lease."""
        if (cause := self._link.must_stop()) is not None:
            raise cause.again()

    def _save(self, state: State, percent: float | None, message: str) -> Future[Stopped | None]:
        at = None if percent is None or percent != percent else _percent(percent)
        return self._link.save(self._encode(state), at, _codec.clean(message, MESSAGE_LIMIT))

    def _encode(self, state: State) -> bytes:
        try:
            data = _codec.dumps(state)
        except (TypeError, ValueError) as e:
            raise RunError(f"checkpoint state: {e}", error_type="invalid_state", permanent=True) from e
        if len(data) > CHECKPOINT_LIMIT:
            raise RunError(
                f"a checkpoint is at most {CHECKPOINT_LIMIT} bytes of JSON, this one has {len(data)}",
                error_type="too_large", permanent=True,
            )
        self.checkpoint_wanted = False
        return data

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.workload_id} generation {self.generation}>"


class Task(_Task[In, State]):
    """A run as an async handler sees it."""

    async def checkpoint(self, state: State, *, percent: float | None = None, message: str = "") -> None:
        """Saves state and progress. They are durable when it returns.

        If the run was told to stop by a pause, a drain or a preemption, it saves and then raises why.
        If the run no longer holds the workload, it raises why without saving.
        """
        future = asyncio.wrap_future(self._save(state, percent, message))
        try:
            cause = await asyncio.shield(future)
        except Stopped as stop:
            if stop.saves:
                await asyncio.wait([future])
            raise
        if cause is not None:
            raise cause.again()


class SyncTask(_Task[In, State]):
    """A run as a handler sees it that is no coroutine."""

    def checkpoint(self, state: State, *, percent: float | None = None, message: str = "") -> None:
        """Saves state and progress. See `Task.checkpoint`."""
        cause = self._save(state, percent, message).result()
        if cause is not None:
            raise cause.again()

    def sleep(self, seconds: float) -> None:
        """Waits. It raises why the run has to stop as soon as it has to."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.check()
            self._link.wait_stop(left)
        self.check()

"""Handlers: what they take, and what their end means."""

from __future__ import annotations

import asyncio
import functools
import inspect
import traceback
import types
import typing
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass, field
from typing import Any, cast

from . import _codec
from ._run import Assignment
from .errors import RunError
from .stops import Stopped
from .task import Link, SyncTask, Task, _current, _Task


# The bounds of what is told of a failure, in characters; coordinators keep less.
TYPE_LIMIT, MESSAGE_LIMIT, TRACE_LIMIT = 200, 16 << 10, 8000
# The longest pause before another try, in seconds.
PAUSE_LIMIT = 86_400.0


@dataclass(frozen=True)
class Handler:
    """A function that runs a workload type."""

    name: str
    function: Callable[..., Any]
    isolate: bool = False

    @functools.cached_property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.function)

    def types(self) -> tuple[Any, Any]:
        """Returns the types of the input and of the state, from the annotation of the first argument."""
        return _types(self.function)

    def make_task(self, link: Link, assignment: Assignment, state: bytes | None) -> _Task[Any, Any]:
        """Returns the task of a run. Raises a permanent RunError for input of another type."""
        tp_in, tp_state = self.types()
        value = _typed(tp_in, assignment.input_params, "input_params")
        resumed = state is not None
        restored = None
        if state is not None:
            restored = _typed(tp_state, _loads(state), "checkpoint state")
        make: type[_Task[Any, Any]] = Task if self.is_async else SyncTask
        return make(link, assignment, value, restored, resumed)


@functools.lru_cache(maxsize=None)
def _types(function: Callable[..., Any]) -> tuple[Any, Any]:
    arguments = list(inspect.signature(function).parameters)
    hints = typing.get_type_hints(function)
    annotation = hints.get(arguments[0]) if arguments else None
    args = typing.get_args(annotation)
    return (args[0], args[1]) if len(args) == 2 else (Any, Any)


def _loads(data: bytes) -> Any:
    try:
        return _codec.loads(data)
    except ValueError as e:
        raise RunError(f"checkpoint state: {e}", error_type="invalid_state", permanent=True) from e


def _typed(tp: Any, value: Any, what: str) -> Any:
    try:
        return _codec.decode(tp, value, what)
    except (_codec.Mismatch, TypeError) as e:
        kind = "invalid_input" if what == "input_params" else "invalid_state"
        raise RunError(str(e), error_type=kind, permanent=True) from e


@dataclass
class Ended:
    """How a handler ended. It travels from the process of an isolated run, too."""

    #: The result as JSON, if it returned.
    result: bytes | None = None
    #: It ended because it was told to.
    stopped: bool = False
    error_type: str = ""
    message: str = ""
    permanent: bool = False
    retry_after: float | None = None
    #: The traceback of its error, for the log.
    trace: str = ""
    #: What it has used, if that was measured: cpu_ms and peak_memory_mb.
    used: dict[str, int] = field(default_factory=dict)


def returned(value: Any) -> Ended:
    """Returns the end of a handler that returned."""
    try:
        return Ended(result=b"null" if value is None else _codec.dumps(value))
    except Exception as e:  # what a value of the handler's own raises may be anything
        message = _codec.clean(f"result: {_shown(e)}", MESSAGE_LIMIT)
        return Ended(error_type="invalid_result", message=message, permanent=True)


def raised(error: BaseException, cause: Stopped | None) -> Ended:
    """Returns the end of a handler that raised.

    One that was told to stop, and raised a cancellation, stopped. Any other error is a failure of
    the run itself, even if it comes after the request.
    """
    if _is_cancellation(error) and (cause is not None or isinstance(error, Stopped)):
        return Ended(stopped=True)
    kind, message, trace = type(error).__name__, _shown(error), _trace(error)
    if isinstance(error, RunError):
        return Ended(
            error_type=_codec.clean(error.error_type, TYPE_LIMIT), message=message, permanent=bool(error.permanent),
            retry_after=_pause(error.retry_after), trace=trace,
        )
    return Ended(error_type=_codec.clean(kind, TYPE_LIMIT), message=message or kind, trace=trace)


def _shown(error: BaseException) -> str:
    """Returns what an error says. What it says is the handler's: it may raise, or have no end."""
    return _codec.clean(error, MESSAGE_LIMIT)


def _trace(error: BaseException) -> str:
    """Returns the traceback. Of a long one the end is left, which says most."""
    try:
        trace = "".join(traceback.format_exception(error))
    except Exception as e:
        trace = f"{type(error).__name__}, whose traceback cannot be shown: {type(e).__name__}"
    return trace if len(trace) <= TRACE_LIMIT else f"(cut)… {trace[-TRACE_LIMIT:]}"


def _pause(seconds: Any) -> float | None:
    """Returns a pause that can be sent."""
    try:
        return None if seconds is None or seconds != seconds else min(max(float(seconds), 0.0), PAUSE_LIMIT)
    except (TypeError, ValueError, OverflowError):
        return None


def _is_cancellation(error: BaseException) -> bool:
    """Reports whether an error is a cancellation, or a group of nothing else, as task groups raise it."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(asyncio.CancelledError)[1] is None
    return isinstance(error, asyncio.CancelledError)


async def run_async(handler: Handler, task: _Task[Any, Any]) -> Ended:
    """Runs an async handler. A cancellation of the asyncio task arrives in it as what `stop_cause` is."""
    _current.set(task)
    try:
        task.check()
        return returned(await cast(Awaitable[Any], _stopping(handler.function(task), task)))
    except BaseException as e:
        return raised(e, task.stop_cause)


@types.coroutine
def _stopping(coroutine: Coroutine[Any, Any, Any], task: _Task[Any, Any]) -> Generator[Any, Any, Any]:
    error: BaseException | None = None
    while True:
        try:
            waits_for = coroutine.send(None) if error is None else coroutine.throw(error)
        except StopIteration as stop:
            return stop.value
        error = None
        try:
            yield waits_for
        except asyncio.CancelledError as e:
            cause = task.stop_cause
            error = cause.again() if cause is not None and not isinstance(e, Stopped) else e
        except BaseException as e:
            error = e


def run_sync(handler: Handler, task: _Task[Any, Any]) -> Ended:
    """Runs a handler that is no coroutine, in this thread."""
    _current.set(task)
    try:
        task.check()
        return returned(handler.function(task))
    except BaseException as e:
        return raised(e, task.stop_cause)

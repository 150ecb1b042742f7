"""Where handlers run: in the event loop of the worker's user, or in threads. See `_isolated`
for processes."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol

from . import _codec
from ._handlers import Ended, Handler, raised, run_async, run_sync
from ._mailbox import Mailbox, Telling
from ._run import Run, clock
from .stops import Stopped
from .task import _Task

if TYPE_CHECKING:
    from ._agent import Agent


class NoCheckpoint(Exception):
    """The handler has nothing to save now."""


class Host(Protocol):
    """Runs a handler. Its methods are called in the control loop."""

    async def perform(self, run: Run, state: bytes | None) -> Ended:
        """Runs the handler until it has returned."""

    def stop(self, cause: Stopped) -> None:
        """Tells the handler to stop, and why."""

    def end(self) -> None:
        """Ends the handler by force, if that is possible."""

    async def snapshot(self) -> bytes:
        """Returns what is to be saved now. Raises NoCheckpoint, after which `task.checkpoint_wanted`
        is set."""


class _Link:
    """A task's link to an agent in the same process."""

    def __init__(self, agent: Agent, run: Run, stopped: threading.Event | None) -> None:
        """stopped tells a handler in a thread that it has to stop."""
        self._agent, self._run, self._stopped = agent, run, stopped

    @functools.cached_property
    def _telling(self) -> Telling:
        return Telling(self._agent, self._run)

    def line(self, level: str, message: str, details: bytes | None) -> None:
        self._telling.line(level, message, details)

    def report(self, percent: float, message: str) -> None:
        self._telling.report(percent, message)

    def save(self, data: bytes, percent: float | None, message: str) -> Future[Stopped | None]:
        return asyncio.run_coroutine_threadsafe(
            self._agent.checkpoints.save(self._run, data, percent, message), self._agent.loop
        )

    def must_stop(self) -> Stopped | None:
        return self._run.must_stop()

    def wait_stop(self, seconds: float) -> None:
        assert self._stopped is not None
        self._stopped.wait(min(seconds, max(self._run.session.fence_at - clock(), 0.01)))


class _InProcess:
    def __init__(self, agent: Agent, handler: Handler) -> None:
        self._agent, self._handler = agent, handler
        self._stopped = None if handler.is_async else threading.Event()
        self._task: _Task[Any, Any] | None = None

    def _make(self, run: Run, state: bytes | None) -> _Task[Any, Any]:
        self._task = self._handler.make_task(_Link(self._agent, run, self._stopped), run.assignment, state)
        return self._task

    async def perform(self, run: Run, state: bytes | None) -> Ended:
        done: asyncio.Future[Ended] = self._agent.loop.create_future()
        self.begin(run, state, done.set_result)
        return await done

    def begin(self, run: Run, state: bytes | None, ended: Callable[[Ended], None]) -> None:
        """Does what `perform` does, without a task of its own: it calls ended at the end."""
        try:
            task = self._make(run, state)
        except Exception as e:
            ended(raised(e, None))
            return
        try:
            self._start(task, ended)
        except RuntimeError as e:  # the machine has no thread left: that ends one run, not the worker
            ended(Ended(error_type="resources", message=f"the run could not be started: {e}"))

    def _start(self, task: _Task[Any, Any], ended: Callable[[Ended], None]) -> None:
        raise NotImplementedError

    def stop(self, cause: Stopped) -> None:
        if self._stopped is not None:
            self._stopped.set()

    def end(self) -> None:
        """Does nothing: a thread cannot be ended from outside."""

    def _taken(self) -> tuple[_Task[Any, Any], Any]:
        task = self._task
        if task is None or task._snapshot is None:
            if task is not None:
                task.checkpoint_wanted = True
            raise NoCheckpoint
        return task, task._snapshot


class ThreadHost(_InProcess):
    """Runs a handler in a thread."""

    def _start(self, task: _Task[Any, Any], ended: Callable[[Ended], None]) -> None:
        def body() -> None:
            self._agent.call(ended, run_sync(self._handler, task))

        threading.Thread(target=body, name=f"niyanta {task.workload_id}", daemon=True).start()

    async def snapshot(self) -> bytes:
        _, taken = self._taken()
        return await asyncio.to_thread(lambda: _codec.dumps(taken()))


class LoopHost(_InProcess):
    """Runs a handler in the event loop in which the worker was started."""

    def __init__(self, agent: Agent, handler: Handler, loop: asyncio.AbstractEventLoop, mailbox: Mailbox) -> None:
        """loop is the event loop, and mailbox one into it."""
        super().__init__(agent, handler)
        self._loop, self._mailbox = loop, mailbox
        self._running: asyncio.Task[Ended] | None = None

    def _start(self, task: _Task[Any, Any], ended: Callable[[Ended], None]) -> None:
        def over(t: asyncio.Task[Ended]) -> None:
            # One that was cancelled before its first step has not begun.
            self._agent.call(ended, Ended(stopped=True) if t.cancelled() else t.result())

        def begin() -> None:
            self._running = self._loop.create_task(run_async(self._handler, task))
            self._running.add_done_callback(over)

        self._mailbox.call(begin)

    def stop(self, cause: Stopped) -> None:
        self._mailbox.call(self._cancel)

    def _cancel(self) -> None:
        if self._running is not None:
            self._running.cancel()

    async def snapshot(self) -> bytes:
        _, taken = self._taken()
        done: asyncio.Future[bytes] = self._agent.loop.create_future()

        def take() -> None:
            try:
                data = _codec.dumps(taken())
            except Exception as e:
                self._agent.call(_settle, done, e, None)
            else:
                self._agent.call(_settle, done, None, data)

        self._mailbox.call(take)
        return await done


def _settle(done: asyncio.Future[bytes], error: Exception | None, data: bytes | None) -> None:
    if done.done():
        return
    if error is not None:
        done.set_exception(error)
    else:
        done.set_result(data or b"null")

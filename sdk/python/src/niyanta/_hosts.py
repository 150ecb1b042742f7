"""Where handlers run: in the event loop of the worker's user, or in threads. See `_isolated`
for processes."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol

from . import _codec
from ._handlers import Ended, Handler, raised, run_async, run_sync
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

    def __init__(self, agent: Agent, run: Run) -> None:
        self._agent, self._run = agent, run
        self.stopped = threading.Event()

    def save(self, data: bytes, percent: float | None, message: str) -> Future[Stopped | None]:
        return asyncio.run_coroutine_threadsafe(
            self._agent.checkpoints.save(self._run, data, percent, message), self._agent.loop
        )

    def report(self, percent: float, message: str) -> None:
        self._agent.call(self._agent.runs.report, self._run, percent, message)

    def line(self, level: str, message: str, details: dict[str, Any] | None) -> None:
        self._agent.call(self._agent.runs.log_line, self._run, level, message, details)

    def must_stop(self) -> Stopped | None:
        return self._run.must_stop()

    def wait_stop(self, seconds: float) -> None:
        self.stopped.wait(min(seconds, max(self._run.session.fence_at - clock(), 0.01)))


class _InProcess:
    def __init__(self, agent: Agent, handler: Handler) -> None:
        self._agent, self._handler = agent, handler
        self._link: _Link | None = None
        self._task: _Task[Any, Any] | None = None

    def _make(self, run: Run, state: bytes | None) -> _Task[Any, Any]:
        self._link = _Link(self._agent, run)
        if run.cause is not None:
            self._link.stopped.set()
        self._task = self._handler.make_task(self._link, run.assignment, state)
        return self._task

    def stop(self, cause: Stopped) -> None:
        if self._link is not None:
            self._link.stopped.set()

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

    async def perform(self, run: Run, state: bytes | None) -> Ended:
        try:
            task = self._make(run, state)
        except Exception as e:
            return raised(e, None)
        done: asyncio.Future[Ended] = self._agent.loop.create_future()

        def body() -> None:
            ended = run_sync(self._handler, task)
            self._agent.call(done.set_result, ended)

        threading.Thread(target=body, name=f"niyanta {task.workload_id}", daemon=True).start()
        return await done

    async def snapshot(self) -> bytes:
        _, taken = self._taken()
        return await asyncio.to_thread(lambda: _codec.dumps(taken()))


class LoopHost(_InProcess):
    """Runs a handler in the event loop in which the worker was started."""

    def __init__(self, agent: Agent, handler: Handler, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(agent, handler)
        self._loop = loop
        self._running: asyncio.Task[Ended] | None = None

    async def perform(self, run: Run, state: bytes | None) -> Ended:
        try:
            task = self._make(run, state)
        except Exception as e:
            return raised(e, None)
        done: asyncio.Future[Ended] = self._agent.loop.create_future()

        def ended(t: asyncio.Task[Ended]) -> None:
            # One that was cancelled before its first step has not begun.
            self._agent.call(done.set_result, Ended(stopped=True) if t.cancelled() else t.result())

        def begin() -> None:
            self._running = self._loop.create_task(run_async(self._handler, task))
            self._running.add_done_callback(ended)

        self._loop.call_soon_threadsafe(begin)
        return await done

    def stop(self, cause: Stopped) -> None:
        super().stop(cause)
        if self._link is not None:
            self._loop.call_soon_threadsafe(self._cancel)

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

        self._loop.call_soon_threadsafe(take)
        return await done


def _settle(done: asyncio.Future[bytes], error: Exception | None, data: bytes | None) -> None:
    if done.done():
        return
    if error is not None:
        done.set_exception(error)
    else:
        done.set_result(data or b"null")

"""The worker: runs workloads of the types that are registered with it."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar, overload

import httpx

from . import _hardware
from ._agent import Agent, Config
from ._engine import Engine, WorkerError
from ._environment import secret
from ._handlers import Handler
from ._hosts import Host, LoopHost, ThreadHost
from ._http import only
from ._logs import LogHandler
from ._mailbox import Mailbox
from ._nursery import Nursery
from ._isolated import ProcessHost
from ._operations import seconds
from ._plane import Plane
from ._supervision import VARIABLE, Supervision
from .resources import WorkerResources
from .task import SyncTask, Task
from .tls import TLSFiles

__all__ = ["LogHandler", "Worker", "WorkerError"]

In = TypeVar("In")
State = TypeVar("State")
Out = TypeVar("Out")
F = TypeVar("F", bound=Callable[..., Any])

_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
log = logging.getLogger("niyanta.worker")

# How long the program has for its end after the worker's own, in seconds.
_END_TIMEOUT = 2.0
# How long after the first SIGTERM of a supervised worker another one is the same, in seconds.
_SAME_SIGNAL = 1.0


class _Register:
    """Registers a function. It returns the function as it is."""

    def __init__(self, worker: Worker, name: str, isolate: bool) -> None:
        self._worker, self._name, self._isolate = worker, name, isolate

    @overload
    def __call__(
        self, function: Callable[[Task[In, State]], Awaitable[Out]]
    ) -> Callable[[Task[In, State]], Awaitable[Out]]: ...
    @overload
    def __call__(self, function: Callable[[SyncTask[In, State]], Out]) -> Callable[[SyncTask[In, State]], Out]: ...
    def __call__(self, function: Any) -> Any:
        self._worker._add(Handler(self._name, function, self._isolate))
        return function


class Worker:
    """Runs workloads. It needs nothing but HTTP to its coordinators.

    `url` is a coordinator's, or those of several separated by commas; `key` is a worker key.
    `worker_id` names the worker across restarts; empty: one is made. `slots` is how many workloads run
    at once. `tags` are what affinity rules look at. `resources` is what the worker has; None: what the
    variables NIYANTA_WORKER_CPU, NIYANTA_WORKER_MEMORY_MB, NIYANTA_WORKER_DISK_MB,
    NIYANTA_WORKER_DEVICES and NIYANTA_WORKER_RESOURCES say, and where they say nothing, what the
    machine has. `drain_timeout` bounds a graceful end, in seconds.
    `take_over` ends the session of another process that holds the id. `capture_logging` writes the
    records that handlers make with `logging` to the logs of their workloads. `hold_limits` holds runs
    with `isolate` to the `resource_limits` of their config. `tls` names the files of a CA, and of the
    certificate that coordinators may ask workers for.
    """

    def __init__(
        self, url: str, key: str, *, worker_id: str = "", slots: int = 10, tags: Mapping[str, str] | None = None,
        resources: WorkerResources | None = None, version: str = "", drain_timeout: float | timedelta = 300,
        take_over: bool = False, capture_logging: bool = True, hold_limits: bool = True, tls: TLSFiles | None = None,
        http: Callable[[], httpx.AsyncClient] | None = None,
    ) -> None:
        if slots < 1:
            raise ValueError("slots: it must be at least 1")
        self._url, self._key, self._http, self._tls = url, key, http, only(tls, http)
        self.worker_id = worker_id or f"worker-{uuid.uuid4().hex[:12]}"
        self.slots = slots
        if resources is not None:
            resources.validate()
        self._resources = resources
        self._tags, self._version, self._take_over = dict(tags or {}), version, take_over
        self._drain_timeout = seconds(drain_timeout)
        self._capture_logging, self._limited = capture_logging, hold_limits
        self._handlers: dict[str, Handler] = {}
        self._engine: Engine | None = None
        self._runs, self._stops = False, 0
        self._control: threading.Thread | None = None
        self._failure: BaseException | None = None

    @classmethod
    def from_environment(cls, **more: Any) -> Worker:
        """Returns the worker that the variables NIYANTA_COORDINATOR_URL, NIYANTA_WORKER_KEY (or
        NIYANTA_WORKER_KEY_FILE, the path of a file that has it), NIYANTA_WORKER_ID,
        NIYANTA_WORKER_SLOTS and NIYANTA_WORKER_TAGS describe, with the files of
        `TLSFiles.from_environment`. Arguments go before."""
        files = TLSFiles.from_environment()
        tags = dict(t.strip().split("=", 1) for t in os.environ.get("NIYANTA_WORKER_TAGS", "").split(",") if t.strip())
        found: dict[str, Any] = {
            "url": os.environ.get("NIYANTA_COORDINATOR_URL"), "key": None if more.get("key") else secret("NIYANTA_WORKER_KEY"),
            "worker_id": os.environ.get("NIYANTA_WORKER_ID", ""),
            "slots": int(os.environ.get("NIYANTA_WORKER_SLOTS", "10")), "tags": tags,
            "tls": None if files == TLSFiles() or more.get("http") else files, **more,
        }
        for name, variable in (("url", "NIYANTA_COORDINATOR_URL"), ("key", "NIYANTA_WORKER_KEY")):
            if not found[name]:
                raise ValueError(f"set {variable}")
        return cls(**found)

    def workload(self, name: str, *, isolate: bool = False) -> _Register:
        """Registers a function as the handler of a workload type.

        It takes a `Task` if it is a coroutine, else a `SyncTask`. Coroutines run in the event loop of
        the worker, other functions in threads. With `isolate` it runs in a process of its own, which
        can be killed: for code that computes without a pause, holds the interpreter's lock, or may
        crash. Then it must be importable by other processes: at the top of a module.
        """
        return _Register(self, name, isolate)

    def _add(self, handler: Handler) -> None:
        if not _TYPE.match(handler.name):
            raise ValueError(
                f"type {handler.name!r}: a letter or digit, then up to 99 of letters, digits, '.', '_' and '-'"
            )
        if handler.name in self._handlers:
            raise ValueError(f"type {handler.name!r} is registered twice")
        handler.types()  # an annotation that cannot be read is a mistake of the program
        self._handlers[handler.name] = handler

    def stop(self) -> None:
        """Drains the worker: every run may save and is given back. The second call skips the rest. May
        be called in any thread. One that does not run yet ends as soon as it does."""
        self._stops += 1  # before the look: the worker counts once it has an engine
        if self._engine is not None:
            self._engine.leave(self._stops)

    async def run(self) -> None:
        """Works until `stop` is called or this is cancelled, then drains.

        Raises ApiError when the key is refused or another process uses the worker's id, and WorkerError
        when draining took too long or runs do not stop.
        """
        if not self._handlers:
            raise ValueError("a worker needs at least one workload type")
        if self._runs:
            raise RuntimeError("the worker runs already")
        self._runs, self._control = True, None
        isolated = {k: h for k, h in self._handlers.items() if h.isolate}
        level = logging.getLogger().level if self._capture_logging else None
        nursery: Nursery | None = None
        try:
            if isolated and not self._stops:
                try:
                    nursery = await asyncio.to_thread(Nursery, isolated, level)
                except Exception:
                    if not self._stops:  # the same signal may have ended it
                        raise
            # nvidia-smi may take seconds.
            if (resources := self._resources) is None and not self._stops:
                resources = await asyncio.to_thread(_hardware.offer, os.environ)
            if not self._stops:
                await self._work(resources or WorkerResources(), nursery)
        finally:
            self._runs, self._stops, self._engine = False, 0, None
            if nursery is not None:
                nursery.close()

    async def _work(self, resources: WorkerResources, nursery: Nursery | None) -> None:
        """Works as `run` does, when everything is prepared."""
        loop = asyncio.get_running_loop()
        mailbox = Mailbox(loop)

        def host(agent: Agent, handler: Handler) -> Host:
            if handler.isolate:
                assert nursery is not None
                return ProcessHost(agent, handler, nursery, self._limited)
            if handler.is_async:
                return LoopHost(agent, handler, loop, mailbox)
            return ThreadHost(agent, handler)

        def attach(agent: Agent, fail: Callable[[Exception], None]) -> None:
            if nursery is not None:
                nursery.attach(agent, fail)

        life = Supervision.take()
        config = Config(
            worker_id=self.worker_id, slots=self.slots, handlers=self._handlers, host=host, resources=resources,
            tags=self._tags, version=self._version, take_over=self._take_over,
            **({} if life is None else {"process_id": life.process_id, "certificate_digest": life.digest}),
        )
        self._engine = Engine(
            config, lambda: Plane(self._url, self._key, self._http, self._tls), self._drain_timeout, attach
        )
        done: asyncio.Future[None] = loop.create_future()

        def ended(error: BaseException | None) -> None:
            self._failure = error
            _call(loop, settle, error)

        def settle(error: BaseException | None) -> None:
            if not done.done():
                done.set_exception(error) if error is not None else done.set_result(None)

        logs = LogHandler()
        if self._capture_logging:
            logging.getLogger().addHandler(logs)
        try:
            self._control = self._engine.start(ended)
            if self._stops:  # meanwhile
                self._engine.leave(self._stops)
            if life is not None:
                life.begin(self._url, self._key, self._tls, self.stop)
            try:
                await asyncio.shield(done)
            except asyncio.CancelledError:
                self.stop()
                await asyncio.wait([done])
                raise
        finally:
            logging.getLogger().removeHandler(logs)

    async def _run_woken(self) -> None:
        """Does what `run` does, in an event loop that every signal wakes: one that arrives in another
        thread, or just before the loop waits, would be handled only at the next event."""
        if sys.platform == "win32":
            return await self.run()
        loop = asyncio.get_running_loop()
        wake, waker = socket.socketpair()
        with wake, waker:
            for end in (wake, waker):
                end.setblocking(False)
            loop.add_reader(wake, wake.recv, 4096)
            before = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
            try:
                await self.run()
            finally:
                signal.set_wakeup_fd(before)
                loop.remove_reader(wake)

    def main(self) -> None:
        """Works until SIGTERM or SIGINT, then drains and ends the process.

        A second signal skips the rest of the drain. The status is 0 after a complete drain and 1 if
        something went wrong.
        """
        over, watched = threading.Event(), threading.Event()
        supervised, first = VARIABLE in os.environ, 0.0

        def told(number: int, _: object) -> None:
            nonlocal first
            # A SIGTERM for all processes of a service comes from the supervisor, too.
            if supervised and number == signal.SIGTERM:
                now = time.monotonic()
                first = first or now
                if first < now < first + _SAME_SIGNAL:
                    return
            self.stop()
            if not watched.is_set():
                watched.set()
                threading.Thread(target=watch, daemon=True).start()

        def watch() -> None:
            # While it starts it has no control thread, and a second signal ends it.
            while self._control is None and self._stops < 2 and not over.wait(0.05):
                pass
            what = "the event loop is blocked"
            if self._control is not None:
                self._control.join()
            elif self._stops > 1:
                what = "it has not started yet"
            # A coroutine that never pauses keeps the event loop from noticing the end.
            if not over.wait(_END_TIMEOUT):
                why = f"{self._failure}; " if self._failure else ""
                print(f"niyanta: {why}{what}, the process ends", file=sys.stderr, flush=True)
                os._exit(1)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, told)
        try:
            asyncio.run(self._run_woken())
        except Exception as e:
            print(f"niyanta: {e}", file=sys.stderr)
            sys.exit(1)
        finally:
            over.set()

    def __repr__(self) -> str:
        return f"<Worker {self.worker_id} of {', '.join(sorted(self._handlers)) or 'nothing'}>"


def _call(loop: asyncio.AbstractEventLoop, f: Callable[..., None], *args: Any) -> None:
    try:
        loop.call_soon_threadsafe(f, *args)
    except RuntimeError:
        pass  # it is closed

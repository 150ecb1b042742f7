"""Handlers in processes of their own, which can be killed.

The nursery is a process beside the worker. It forks one process for each isolated run, from a
program that has one thread and has loaded the handlers. It kills them, with what they started in
their process group, when the worker says so, when the worker dies, and when the worker's lease is
over: so also while the worker itself is frozen.
"""

from __future__ import annotations

import asyncio
import collections
import ctypes
import json
import logging
import multiprocessing
import os
import select
import signal
import socket
import struct
import sys
import threading
import traceback
from concurrent.futures import Future
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NoReturn

from . import _codec
from ._handlers import Ended, Handler, raised, run_async, run_sync
from ._hosts import NoCheckpoint
from ._logs import LogHandler
from ._run import Assignment, Run, clock
from .errors import RunError
from .stops import BY_NAME, LeaseLost, Fenced, Stopped
from .task import _Task

if TYPE_CHECKING:
    from ._agent import Agent

# How long a run that is not to save may clean up before its process is killed.
KILL_AFTER = 2.0
_READY_TIMEOUT = 60.0
_LENGTH = struct.Struct(">I")
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER


class Nursery:
    """The worker's side of the process. `start` blocks; the rest is for the control loop."""

    def __init__(self, handlers: dict[str, Handler], log_level: int | None) -> None:
        """log_level is that of the root logger, whose records are captured; None: they are not."""
        self._ctrl, theirs = socket.socketpair()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(
            target=_main, args=(theirs, handlers, log_level), name="niyanta nursery", daemon=True
        )
        try:
            self._process.start()
        except (AttributeError, TypeError, ImportError) as e:
            raise ValueError(f"isolate=True needs functions that other processes can import: {e}") from e
        theirs.close()
        self._buffer = b""
        self._number = 0
        self._reaped: dict[int, asyncio.Future[int]] = {}
        self._ctrl.settimeout(_READY_TIMEOUT)
        if self._ctrl.recv(1) != b"!":
            raise ValueError("isolate=True needs functions that other processes can import: see above why it cannot")

    def attach(self, agent: Agent, fail: Any) -> None:
        """Connects the nursery with an agent. fail is called if the nursery dies."""
        self._fail = fail
        self._ctrl.setblocking(False)
        agent.loop.add_reader(self._ctrl, self._read)
        agent.on_lease = self.lease

    def lease(self, fence_at: float) -> None:
        """Tells when everything must have stopped, unless this is called again."""
        self._tell({"fence_at": fence_at})

    def fork(self, theirs: socket.socket) -> tuple[int, asyncio.Future[int]]:
        """Begins a process that speaks over a socket. The future has its status when all of it is gone."""
        self._number += 1
        self._reaped[self._number] = future = asyncio.get_running_loop().create_future()
        self._tell({"fork": self._number}, theirs.fileno())
        return self._number, future

    def kill(self, number: int) -> None:
        """Kills a process and what it started in its process group."""
        self._tell({"kill": number})

    def close(self) -> None:
        """Kills all that is left and ends the nursery."""
        self._ctrl.close()
        self._process.join(5)

    def _tell(self, message: dict[str, Any], *fds: int) -> None:
        data = json.dumps(message).encode() + b"\n"
        try:
            sent = socket.send_fds(self._ctrl, [data], list(fds)) if fds else self._ctrl.send(data)
            if sent != len(data):
                raise OSError("the nursery does not read")
        except OSError as e:
            self._died(e)

    def _read(self) -> None:
        try:
            data = self._ctrl.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._ctrl)
            self._died(OSError("it ended"))
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if (future := self._reaped.pop(message["reaped"], None)) is not None and not future.done():
                future.set_result(message["status"])

    def _died(self, error: OSError) -> None:
        waiting, self._reaped = list(self._reaped.values()), {}
        for future in waiting:
            if not future.done():
                future.set_result(-signal.SIGKILL)
        self._fail(RuntimeError(f"the process that runs isolated handlers is gone: {error}"))


class ProcessHost:
    """Runs a handler in a process of its own."""

    def __init__(self, agent: Agent, handler: Handler, nursery: Nursery) -> None:
        self._agent, self._handler, self._nursery = agent, handler, nursery
        self._writer: asyncio.StreamWriter | None = None
        self._number = 0
        self._snapshots: collections.deque[asyncio.Future[bytes]] = collections.deque()

    async def perform(self, run: Run, state: bytes | None) -> Ended:
        ours, theirs = socket.socketpair()
        with theirs:
            self._number, reaped = self._nursery.fork(theirs)
        reader, self._writer = await asyncio.open_connection(sock=ours)
        ended: Ended | None = None
        try:
            self._send({
                "type": self._handler.name, "assignment": _codec.encode(run.assignment),
                "state": None if state is None else state.decode(), "stop": _named(run.cause),
            })
            ended = await self._converse(run, reader)
            status = await reaped
        finally:
            self._writer.close()
            while self._snapshots:
                self._snapshots.popleft().cancel()
        if ended is not None:
            return ended
        if run.cause is not None:
            return Ended(stopped=True)
        how = f"by signal {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
        return Ended(error_type="process_died", message=f"the process of the run ended {how} without a result")

    async def _converse(self, run: Run, reader: asyncio.StreamReader) -> Ended | None:
        while True:
            try:
                (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                m = json.loads(await reader.readexactly(length))
            except (asyncio.IncompleteReadError, OSError):
                return None
            match m["kind"]:
                case "save":
                    self._agent.spawn(self._save(run, m))
                case "report":
                    self._agent.report(run, m["percent"], m["message"])
                case "line":
                    self._agent.log_line(run, m["level"], m["message"], m["details"])
                case "snapshot":
                    self._snapshot_taken(m)
                case "ended":
                    result = m["ended"].pop("result")
                    return Ended(result=None if result is None else result.encode(), **m["ended"])

    async def _save(self, run: Run, m: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"saved": m["number"]}
        try:
            answer["stop"] = _named(await self._agent.save(run, m["data"].encode(), m["percent"], m["message"]))
        except Exception as e:
            answer["error"] = str(e)
        self._send(answer)

    def _snapshot_taken(self, m: dict[str, Any]) -> None:
        if not self._snapshots or (future := self._snapshots.popleft()).done():
            return
        if m.get("error") is not None:
            future.set_exception(RuntimeError(m["error"]))
        elif m["data"] is None:
            future.set_exception(NoCheckpoint())
        else:
            future.set_result(m["data"].encode())

    async def snapshot(self) -> bytes:
        if self._writer is None:
            raise NoCheckpoint
        future: asyncio.Future[bytes] = self._agent.loop.create_future()
        self._snapshots.append(future)
        self._send({"snapshot": True})
        try:
            return await future
        except asyncio.CancelledError:
            if future.cancelled():
                raise NoCheckpoint from None  # the process has ended
            raise

    def stop(self, cause: Stopped) -> None:
        self._send({"stop": _named(cause)})
        if isinstance(cause, (LeaseLost, Fenced)):
            self.end()
        elif not cause.saves:
            self._agent.loop.call_later(KILL_AFTER, self.end)

    def end(self) -> None:
        if self._number:
            self._nursery.kill(self._number)

    def _send(self, message: dict[str, Any]) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(_frame(message))


def _named(cause: Stopped | None) -> list[str] | None:
    return None if cause is None else [type(cause).__name__, str(cause)]


def _frame(message: dict[str, Any]) -> bytes:
    data = _codec.dumps(message)
    return _LENGTH.pack(len(data)) + data


# What follows runs in the nursery.


def _main(ctrl: socket.socket, handlers: dict[str, Handler], log_level: int | None) -> None:
    if log_level is not None:
        logging.getLogger().setLevel(log_level)
        logging.getLogger().addHandler(LogHandler())
    os.setsid()  # signals of the terminal are for the worker
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    wake, waker = os.pipe()
    for fd in (wake, waker):
        os.set_blocking(fd, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    ended = False

    def end(*_: object) -> None:
        nonlocal ended
        ended = True

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctrl.sendall(b"!")
    children = _Children(ctrl, handlers)
    while not ended and children.serve(wake):
        pass
    children.kill_all()
    while children.groups:
        children.reap()
        select.select([], [], [], 0.01)


class _Children:
    """The processes of the nursery, by their process groups."""

    def __init__(self, ctrl: socket.socket, handlers: dict[str, Handler]) -> None:
        self._ctrl, self._handlers = ctrl, handlers
        self.groups: dict[int, int] = {}  # process group: number of the run
        self._statuses: dict[int, int] = {}  # of those whose first process has ended
        self._fence_at = 0.0
        self._buffer = b""
        self._fds: collections.deque[int] = collections.deque()

    def serve(self, wake: int) -> bool:
        """Waits for the next event and acts. Returns False when the worker has died."""
        timeout = None
        if self.groups:
            timeout = max(self._fence_at - clock(), 0.01)
        if self._statuses:
            timeout = 0.01
        ready, _, _ = select.select([self._ctrl, wake], [], [], timeout)
        if self.groups and clock() >= self._fence_at:
            self.kill_all()
        if wake in ready:
            try:
                os.read(wake, 4096)
            except BlockingIOError:
                pass
        self.reap()
        return self._ctrl not in ready or self._read()

    def _read(self) -> bool:
        try:
            data, fds, _, _ = socket.recv_fds(self._ctrl, 65536, 64)
        except OSError:
            return False
        self._fds.extend(fds)
        if not data:
            return False
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "fence_at" in message:
                self._fence_at = message["fence_at"]
                if clock() >= self._fence_at:
                    self.kill_all()
            elif "kill" in message:
                for group, number in list(self.groups.items()):
                    if number == message["kill"]:
                        _kill(group)
            elif "fork" in message:
                self._fork(message["fork"], self._fds.popleft())
        return True

    def _fork(self, number: int, fd: int) -> None:
        pid = os.fork()
        if pid == 0:
            self._ctrl.close()
            _child(socket.socket(fileno=fd), self._handlers)
        os.close(fd)
        try:
            os.setpgid(pid, pid)
        except OSError:
            pass  # it has done so, or ended
        self.groups[pid] = number

    def kill_all(self) -> None:
        for group in self.groups:
            _kill(group)

    def reap(self) -> None:
        """Notes who has ended. A run has ended when nothing of its group is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid in self.groups:
                self._statuses[pid] = os.waitstatus_to_exitcode(status)
                _kill(pid)
        for group, code in list(self._statuses.items()):
            if not _alive(group):
                del self._statuses[group]
                line = json.dumps({"reaped": self.groups.pop(group), "status": code}).encode() + b"\n"
                try:
                    self._ctrl.sendall(line)
                except OSError:
                    pass  # the worker has died


def _kill(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


# What follows runs in the process of one run.


def _child(channel: socket.socket, handlers: dict[str, Handler]) -> NoReturn:
    status = 1
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        _Child(channel, handlers).run()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


class _Child:
    """A task's link to the worker, from another process."""

    def __init__(self, channel: socket.socket, handlers: dict[str, Handler]) -> None:
        self._channel, self._handlers = channel, handlers
        self._stream = channel.makefile("rb")
        self._sending = threading.Lock()
        self._saves: dict[int, Future[Stopped | None]] = {}
        self._number = 0
        self._cause: Stopped | None = None
        self._stopped = threading.Event()
        self._task: _Task[Any, Any] | None = None
        self._cancel: Any = None

    def run(self) -> None:
        start = self._receive()
        assert start is not None
        handler = self._handlers[start["type"]]
        self._obey(start)
        state = start["state"]
        try:
            assignment = _codec.decode(Assignment, start["assignment"])
            self._task = handler.make_task(self, assignment, None if state is None else state.encode())
        except Exception as e:
            ended = raised(e, None)
        else:
            threading.Thread(target=self._listen, daemon=True).start()
            ended = asyncio.run(self._run_async(handler)) if handler.is_async else run_sync(handler, self._task)
        result = ended.result
        ended.result = None
        shown = {**asdict(ended), "result": None if result is None else result.decode()}
        self._send({"kind": "ended", "ended": shown})

    async def _run_async(self, handler: Handler) -> Ended:
        assert self._task is not None
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(run_async(handler, self._task))
        self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        if self._cause is not None:
            task.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            return Ended(stopped=True)

    def _receive(self) -> dict[str, Any] | None:
        head = self._stream.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            return None
        message: dict[str, Any] = json.loads(self._stream.read(_LENGTH.unpack(head)[0]))
        return message

    def _listen(self) -> None:
        while (message := self._receive()) is not None:
            self._obey(message)
        os.killpg(0, signal.SIGKILL)  # the worker is gone

    def _obey(self, m: dict[str, Any]) -> None:
        if "saved" in m:
            future = self._saves.pop(m["saved"])
            if m.get("error") is not None:
                future.set_exception(RunError(m["error"], error_type="checkpoint"))
            else:
                future.set_result(_cause(m["stop"]))
        elif m.get("snapshot"):
            self._snapshot()
        elif m.get("stop"):
            self._cause = _cause(m["stop"])
            self._stopped.set()
            if self._cancel is not None:
                self._cancel()

    def _snapshot(self) -> None:
        assert self._task is not None
        taken, answer = self._task._snapshot, {"kind": "snapshot", "data": None}
        if taken is None:
            self._task.checkpoint_wanted = True
        else:
            try:
                answer["data"] = _codec.dumps(taken()).decode()
            except Exception as e:
                answer["error"] = repr(e)
        self._send(answer)

    def _send(self, message: dict[str, Any]) -> None:
        with self._sending:
            self._channel.sendall(_frame(message))

    def save(self, data: bytes, percent: float | None, message: str) -> Future[Stopped | None]:
        future: Future[Stopped | None] = Future()
        with self._sending:
            self._number += 1
            number = self._number
            self._saves[number] = future
        self._send({"kind": "save", "number": number, "data": data.decode(), "percent": percent, "message": message})
        return future

    def report(self, percent: float, message: str) -> None:
        self._send({"kind": "report", "percent": percent, "message": message})

    def line(self, level: str, message: str, details: dict[str, Any] | None) -> None:
        self._send({"kind": "line", "level": level, "message": message, "details": details})

    def must_stop(self) -> Stopped | None:
        return self._cause

    def wait_stop(self, seconds: float) -> None:
        self._stopped.wait(seconds)


def _cause(named: list[str] | None) -> Stopped | None:
    return None if named is None else BY_NAME[named[0]](named[1])

"""The nursery: what starts and kills the processes of isolated handlers.

It is a process beside the worker. It forks one process for each isolated run, from a program that
has one thread and has loaded the handlers. It kills them, with what they started in their process
group, when the worker says so, when the worker dies, and when the worker's lease is over: so also
while the worker itself is frozen.
"""

from __future__ import annotations

import asyncio
import collections
import ctypes
import json
import logging
import math
import multiprocessing
import os
import select
import signal
import socket
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ._handlers import Handler
from ._isolated import child
from ._limits import Used, Watch
from ._logs import LogHandler
from ._run import clock

if TYPE_CHECKING:
    from ._agent import Agent

_READY_TIMEOUT = 60.0
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
        self._reaped: dict[int, asyncio.Future[Used]] = {}
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

    def fork(self, theirs: socket.socket, memory_mb: int) -> tuple[int, asyncio.Future[Used]]:
        """Begins a process that speaks over a socket, and holds it and its children to so much memory; 0:
        as much as they like. The future has its end when all of it is gone."""
        self._number += 1
        self._reaped[self._number] = future = asyncio.get_running_loop().create_future()
        self._tell({"fork": self._number, "memory_mb": memory_mb}, theirs.fileno())
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
            message: dict[str, Any] = json.loads(line)
            if (future := self._reaped.pop(message["reaped"], None)) is not None and not future.done():
                future.set_result(Used.read(message))

    def _died(self, error: OSError) -> None:
        waiting, self._reaped = list(self._reaped.values()), {}
        for future in waiting:
            if not future.done():
                future.set_result(Used(-signal.SIGKILL))
        self._fail(RuntimeError(f"the process that runs isolated handlers is gone: {error}"))


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
        self._ended: dict[int, Used] = {}  # those whose first process has ended
        self._watch = Watch()
        self._fence_at = 0.0
        self._buffer = b""
        self._fds: collections.deque[int] = collections.deque()

    def serve(self, wake: int) -> bool:
        """Waits for the next event and acts. Returns False when the worker has died."""
        timeout = None
        if self.groups:
            timeout = max(self._fence_at - clock(), 0.01)
        if (look := self._watch.wait()) is not None:
            timeout = look if timeout is None else min(timeout, look)
        if self._ended:
            timeout = 0.01
        ready, _, _ = select.select([self._ctrl, wake], [], [], timeout)
        if self.groups and clock() >= self._fence_at:
            self.kill_all()
        if wake in ready:
            try:
                os.read(wake, 4096)
            except BlockingIOError:
                pass
        for group in self._watch.look():
            _kill(group)
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
                self._fork(message["fork"], message["memory_mb"], self._fds.popleft())
        return True

    def _fork(self, number: int, memory_mb: int, fd: int) -> None:
        pid = os.fork()
        if pid == 0:
            self._ctrl.close()
            child(socket.socket(fileno=fd), self._handlers)
        os.close(fd)
        try:
            os.setpgid(pid, pid)
        except OSError:
            pass  # it has done so, or ended
        self.groups[pid] = number
        if memory_mb > 0:
            self._watch.limits[pid] = memory_mb

    def kill_all(self) -> None:
        for group in self.groups:
            _kill(group)

    def reap(self) -> None:
        """Notes who has ended. A run has ended when nothing of its group is left."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid in self.groups:
                over, peak = self._watch.forget(pid)
                most = max(peak, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
                self._ended[pid] = Used(
                    os.waitstatus_to_exitcode(status), math.ceil((usage.ru_utime + usage.ru_stime) * 1000),
                    -(-most >> 20), over,
                )
                _kill(pid)
        for group, used in list(self._ended.items()):
            if not _alive(group):
                del self._ended[group]
                line = json.dumps({"reaped": self.groups.pop(group), **asdict(used)}).encode() + b"\n"
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

"""The nursery: what starts and kills the processes of isolated handlers.

It is a process beside the worker. It forks one process for each isolated run, from a program that
has one thread and has loaded the handlers. It kills them, with what they started in their process
group, when the worker says so, when the worker dies, and when the worker's lease is over: so also
while the worker itself is frozen.
"""

from __future__ import annotations

import asyncio
import atexit
import collections
import contextlib
import ctypes
import errno
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

log = logging.getLogger("niyanta.worker")

if TYPE_CHECKING:
    from ._agent import Agent

# How long the program may take to be imported, and how often it is told that it takes long.
_READY_TIMEOUT, _READY_INTERVAL = 600.0, 60.0
# The pause after which a message is tried again for which the kernel has no room.
_TELL_PAUSE = 0.05
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
        #: Messages that it has no room for, each with the socket that goes with it.
        self._waiting: collections.deque[tuple[bytes, socket.socket | None]] = collections.deque()
        #: It has ended, and nobody knows of its processes.
        self.gone = False
        # At exit, the processes of multiprocessing are waited for. This one ends at the end of the worker, and
        # not with what a handler forks.
        self._worker = os.getpid()
        atexit.register(self._hang_up)
        try:
            self._await_ready()
        except BaseException:
            self._process.kill()
            self.close()
            raise

    def _await_ready(self) -> None:
        began, told = clock(), 0.0
        while True:
            self._ctrl.settimeout(_READY_INTERVAL)
            try:
                answer = self._ctrl.recv(1)
                break
            except TimeoutError:
                told = clock() - began
                what = f"the process that starts isolated handlers has imported the program for {told:.0f} s"
                if told >= _READY_TIMEOUT:
                    raise TimeoutError(f"{what}, and is not done") from None
                log.warning("%s", what)
        if answer != b"!":
            raise ValueError("isolate=True needs functions that other processes can import: see above why it cannot")
        if told:
            log.warning("the program was imported after %.0f s", clock() - began)

    def attach(self, agent: Agent, fail: Any) -> None:
        """Connects the nursery with an agent. fail is called if the nursery dies."""
        self._fail, self._loop = fail, agent.loop
        self._ctrl.setblocking(False)
        agent.loop.add_reader(self._ctrl, self._read)
        agent.on_lease = self.lease

    def lease(self, fence_at: float) -> None:
        """Tells when everything must have stopped, unless this is called again."""
        self._tell({"fence_at": fence_at})

    def fork(self, theirs: socket.socket, memory_mb: int) -> tuple[int, asyncio.Future[Used]]:
        """Begins a process that speaks over theirs, which is closed here, and holds it and its children to
        so much memory; 0: as much as they like. The future has its end when all of it is gone."""
        self._number += 1
        self._reaped[self._number] = future = asyncio.get_running_loop().create_future()
        self._tell({"fork": self._number, "memory_mb": memory_mb}, theirs)
        return self._number, future

    def kill(self, number: int) -> None:
        """Kills a process and what it started in its process group."""
        self._tell({"kill": number})

    def close(self) -> None:
        """Kills all that is left and ends the nursery."""
        atexit.unregister(self._hang_up)
        self._hang_up()
        self._process.join(1)  # at exit it is waited for, too

    def _hang_up(self) -> None:
        if os.getpid() == self._worker:
            with contextlib.suppress(OSError):
                self._ctrl.shutdown(socket.SHUT_RDWR)  # what a handler has forked may hold it, too
        self._ctrl.close()

    def _tell(self, message: dict[str, Any], theirs: socket.socket | None = None) -> None:
        if self.gone:
            if theirs is not None:
                theirs.close()
            self._end_all()
            return
        self._waiting.append((json.dumps(message).encode() + b"\n", theirs))
        if len(self._waiting) == 1:
            self._flush()

    def _flush(self) -> None:
        """Sends what waits, as far as there is room for it now."""
        self._loop.remove_writer(self._ctrl)
        while self._waiting and not self.gone:
            data, theirs = self._waiting[0]
            try:
                if theirs is None:
                    sent = self._ctrl.send(data)
                else:
                    sent = socket.send_fds(self._ctrl, [data], [theirs.fileno()])
                    theirs.close()
            except BlockingIOError:
                self._loop.add_writer(self._ctrl, self._flush)
                return
            except OSError as e:
                if e.errno in (errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM):
                    self._loop.call_later(_TELL_PAUSE, self._flush)
                else:
                    self._died(e)
                return
            self._waiting.popleft()
            if sent < len(data):
                self._waiting.appendleft((data[sent:], None))

    def _read(self) -> None:
        try:
            data = self._ctrl.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._died(OSError("it ended"))
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            message: dict[str, Any] = json.loads(line)
            if (future := self._reaped.pop(message["reaped"], None)) is not None and not future.done():
                future.set_result(Used.read(message))

    def _died(self, error: OSError) -> None:
        self.gone = True
        self._loop.remove_reader(self._ctrl)
        self._loop.remove_writer(self._ctrl)
        for _, theirs in self._waiting:
            if theirs is not None:
                theirs.close()
        self._waiting.clear()
        self._end_all()
        self._fail(RuntimeError(f"the process that runs isolated handlers is gone: {error}"))

    def _end_all(self) -> None:
        waiting, self._reaped = list(self._reaped.values()), {}
        for future in waiting:
            if not future.done():
                future.set_result(Used(-signal.SIGKILL))


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
    # It ends with the worker. A SIGTERM for all processes of a service is for the worker, which needs this
    # one until its runs have saved.
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctrl.sendall(b"!")
    children = _Children(ctrl, handlers)
    try:
        while children.serve(wake):
            pass
    finally:
        while children.groups:
            children.kill_all()
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
        try:
            over = self._watch.look()
        except OSError as e:  # it has no descriptor left, say, and may have one soon
            log.warning("the memory of runs is not looked at: %s", e)
            over = self._watch.pass_over()
        for group in over:
            _kill(group)
        self.reap()
        return self._ctrl not in ready or self._read()

    def _read(self) -> bool:
        try:
            data, fds, flags, _ = socket.recv_fds(self._ctrl, 65536, 64)
        except OSError:
            return False
        if flags & socket.MSG_CTRUNC and not fds:
            fds = [-1]  # this process has none left
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
                self._fork(message["fork"], message["memory_mb"], self._fds.popleft() if self._fds else -1)
        return True

    def _fork(self, number: int, memory_mb: int, fd: int) -> None:
        if fd < 0:
            self._reaped(number, Used(-signal.SIGKILL, over="no descriptor was left for the run's process"))
            return
        try:
            pid = os.fork()
        except OSError as e:  # the machine has no process or memory left: that ends one run, not all
            os.close(fd)
            self._reaped(number, Used(-signal.SIGKILL, over=f"no process could be started for the run: {e}"))
            return
        if pid == 0:
            try:
                self._ctrl.close()
                child(socket.socket(fileno=fd), self._handlers)
            finally:
                os._exit(1)  # it is not the nursery
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
                self._reaped(self.groups.pop(group), used)

    def _reaped(self, number: int, used: Used) -> None:
        """Tells that nothing of a run is left."""
        try:
            self._ctrl.sendall(json.dumps({"reaped": number, **asdict(used)}).encode() + b"\n")
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

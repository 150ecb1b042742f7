"""Handlers in processes of their own: the worker's side, and the side of the process.

Both speak over a socket, in JSON messages with their length before them. See `_nursery` for who
starts and kills the processes.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import multiprocessing
import os
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
from ._deaths import OutOfMemory, died
from ._handlers import Ended, Handler, raised, run_async, run_sync
from ._hosts import NoCheckpoint
from ._limits import Limits
from ._outbox import now_text
from ._results import RESULT_BYTES, shortened
from ._run import Assignment, Line, Run, clock
from .errors import RunError
from .resources import DeviceShare
from .stops import BY_NAME, Fenced, LeaseLost, Stopped
from .task import CHECKPOINT_LIMIT, LINE_LIMIT, _Task

if TYPE_CHECKING:
    from ._agent import Agent
    from ._nursery import Nursery

# How long a run that is not to save may clean up before its process is killed.
KILL_AFTER = 2.0
# How often a process is killed at most that does not end.
KILL_INTERVAL = 1.0
# The largest message of such a process, in bytes, and how many checkpoints of it wait at once.
FRAME_LIMIT, SAVES = 64 << 20, 8
_LENGTH = struct.Struct(">I")
_memory = OutOfMemory()


class ProcessHost:
    """Runs a handler in a process of its own."""

    def __init__(self, agent: Agent, handler: Handler, nursery: Nursery, limited: bool) -> None:
        """limited tells that runs are held to their resource_limits."""
        self._limited = limited
        self._agent, self._handler, self._nursery = agent, handler, nursery
        self._writer: asyncio.StreamWriter | None = None
        self._number, self._killed = 0, 0.0
        self._snapshots: collections.deque[asyncio.Future[bytes]] = collections.deque()
        self._saves = asyncio.Semaphore(SAVES)

    async def perform(self, run: Run, state: bytes | None) -> Ended:
        killed, limits = _memory.kills(), Limits.of(run.assignment) if self._limited else Limits()
        ours, theirs = socket.socketpair()
        self._number, reaped = self._nursery.fork(theirs, limits.memory_mb)
        reader, self._writer = await asyncio.open_connection(sock=ours)
        ended: Ended | None = None
        try:
            self._send({
                "type": self._handler.name, "assignment": _codec.encode(run.assignment),
                "state": None if state is None else state.decode(), "stop": _named(run.cause), "limits": limits,
            })
            ended = await self._converse(run, reader)
            self._agent.loop.call_later(KILL_AFTER, self.end)  # it has nothing to do any more
            used = await reaped
        finally:
            self._writer.close()
            for taken in self._snapshots:
                if not taken.done():
                    taken.set_exception(NoCheckpoint())
            self._snapshots.clear()
        if ended is None and self._nursery.gone:
            self._agent.runs.stop(run, Stopped("the worker ends"))
            return Ended(stopped=True)
        if ended is None and (over := used.of_limits(limits)):
            ended = Ended(error_type="resources", message=over)
        if ended is None:
            ended = died(used.status, run.cause, _memory.kills() > killed)
        ended.used = used.shown()
        return ended

    async def _converse(self, run: Run, reader: asyncio.StreamReader) -> Ended | None:
        while True:
            try:
                (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                if length > FRAME_LIMIT:
                    raise ValueError(f"a message has {length} bytes")
                m = _codec.loads(await reader.readexactly(length))
                match m["kind"]:
                    case "save":
                        await self._saves.acquire()  # one that saves without end waits
                        self._agent.spawn(self._save(run, m))
                    case "report":
                        self._agent.runs.report(run, _percent(m["percent"]), _text(m, "message", 1000))
                    case "line":
                        self._agent.runs.log_lines(run, [_line(m)])
                    case "snapshot":
                        self._snapshot_taken(m)
                    case "ended":
                        return _ended(m)
                    case other:
                        raise ValueError(f"{other!r} is no message")
            except (asyncio.IncompleteReadError, OSError):
                return None
            except (ValueError, TypeError, KeyError, AttributeError) as e:
                # The program of the run has written to the socket itself.
                self.end()
                return Ended(error_type="process", message=f"the run's process sent what is no message: {e}"[:1000])

    async def _save(self, run: Run, m: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"saved": m.get("number")}
        try:
            data = m["data"].encode()
            percent = None if m["percent"] is None else _percent(m["percent"])
            cause = await self._agent.checkpoints.save(run, data, percent, _text(m, "message", 1000))
            answer["stop"] = _named(cause)
        except Exception as e:
            answer["error"] = _codec.clean(e, 1000)
        finally:
            self._saves.release()
        self._send(answer)

    def _snapshot_taken(self, m: dict[str, Any]) -> None:
        if not self._snapshots or (future := self._snapshots.popleft()).done():
            return
        if m.get("error") is not None:
            future.set_exception(RuntimeError(_text(m, "error", 1000)))
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
        return await future

    def stop(self, cause: Stopped) -> None:
        self._send({"stop": _named(cause)})
        if isinstance(cause, (LeaseLost, Fenced)):
            self.end()
        elif not cause.saves:
            self._agent.loop.call_later(KILL_AFTER, self.end)

    def end(self) -> None:
        if self._number and clock() >= self._killed + KILL_INTERVAL:
            self._killed = clock()
            self._nursery.kill(self._number)

    def _send(self, message: dict[str, Any]) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(_frame(message))


def _text(m: dict[str, Any], name: str, limit: int) -> str:
    return _codec.clean(m[name], limit)


def _percent(value: Any) -> float:
    return min(max(float(value), 0.0), 100.0)


def _line(m: dict[str, Any]) -> Line:
    details = None if m["details"] is None else _codec.dumps(_codec.loads(m["details"]))
    return Line(now_text(), _text(m, "level", 20), _text(m, "message", LINE_LIMIT), details)


def _ended(m: dict[str, Any]) -> Ended:
    """Returns how the handler ended. Its result goes into a request as it is, so it must be one value."""
    result = m["ended"].pop("result", None)
    ended = _codec.decode(Ended, m["ended"], "ended")
    if result is not None:
        _codec.loads(result, large=str)
        ended.result = result.encode()
    return ended


def _named(cause: Stopped | None) -> list[str] | None:
    return None if cause is None else [type(cause).__name__, str(cause)]


def _frame(message: dict[str, Any]) -> bytes:
    data = _codec.dumps(message)
    return _LENGTH.pack(len(data)) + data


# What follows runs in the process of one run.


def child(channel: socket.socket, handlers: dict[str, Handler]) -> NoReturn:
    """Runs the handler of one run in this process, which was forked for it."""
    status = 1
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # A SIGTERM for all processes of a service is for the worker, which has this one save and stop. A
        # handler of signals, unlike SIG_IGN, is not passed on to programs; what is forked is told.
        signal.signal(signal.SIGTERM, lambda *_: None)
        os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
        multiprocessing.current_process().daemon = False  # it may have processes, which end with its group
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
            limits = Limits(**start["limits"])
            show_devices(assignment.devices)
            limits.apply()
            self._task = handler.make_task(self, assignment, None if state is None else state.encode())
        except Exception as e:
            ended = raised(e, None)
        else:
            threading.Thread(target=self._listen, daemon=True).start()
            ended = asyncio.run(self._run_async(handler)) if handler.is_async else run_sync(handler, self._task)
            if ended.error_type == "MemoryError" and limits.memory_mb:
                ended.error_type = "resources"
                ended.message = f"the run could not get more memory, and its limit is {limits.memory_mb} MB"
        result = ended.result
        if result is not None and len(result) > RESULT_BYTES:
            result = shortened(result)
        ended.result = None
        shown = {**asdict(ended), "result": None if result is None else result.decode()}
        self._send({"kind": "ended", "ended": shown})

    async def _run_async(self, handler: Handler) -> Ended:
        assert self._task is not None
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(run_async(handler, self._task))

        def cancel() -> None:
            with contextlib.suppress(RuntimeError):  # it has ended
                loop.call_soon_threadsafe(task.cancel)

        self._cancel = cancel
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
                data = _codec.dumps(taken())
                if len(data) <= CHECKPOINT_LIMIT:
                    answer["data"] = data.decode()
                else:  # what is larger than a message would end the run
                    answer["error"] = f"a checkpoint is at most {CHECKPOINT_LIMIT} bytes, this one has {len(data)}"
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

    def line(self, level: str, message: str, details: bytes | None) -> None:
        shown = None if details is None else details.decode()
        self._send({"kind": "line", "level": level, "message": message, "details": shown})

    def must_stop(self) -> Stopped | None:
        return self._cause

    def wait_stop(self, seconds: float) -> None:
        self._stopped.wait(seconds)


def show_devices(devices: list[DeviceShare]) -> None:
    """Has the environment name the devices of the run. If it holds none, CUDA shows none: it must not
    use what others hold."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(d.id for d in devices)
    os.environ["NIYANTA_DEVICES"] = _codec.dumps(devices).decode()


def _cause(named: list[str] | None) -> Stopped | None:
    return None if named is None else BY_NAME[named[0]](named[1])

"""The process that starts and kills those of isolated runs, and what happens when it cannot."""

from __future__ import annotations

import asyncio
import atexit
import collections
import json
import logging
import os
import resource
import signal
import socket
import types
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

import isolated
from conftest import alive, eventually
from niyanta import SyncTask, _nursery
from niyanta._handlers import Handler
from niyanta._isolated import ProcessHost
from niyanta._limits import Used
from niyanta._nursery import Nursery
from niyanta._run import clock
from test_worker import Coordinator, Fixture


def test_isolated_run_may_have_processes_of_its_own_and_takes_them_along() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("pool")
        await f.until("it ends", lambda: len(f.c.events("wl_1")) == 2, 20)
        end = f.c.reports[-1]
        assert end["event"] == "complete", end
        found, status, left = end["result"]
        assert (found, status) == (1, -signal.SIGTERM)
        assert not alive(left)

    f = Fixture(Coordinator())
    f.worker.workload("pool", isolate=True)(isolated.use_processes)
    f.run(test)


# The worker's side.


class Unread:
    """A nursery that reads nothing until the test does."""

    def __init__(self) -> None:
        self.nursery = Nursery.__new__(Nursery)
        self.nursery._ctrl, self.theirs = socket.socketpair()
        self.nursery._buffer, self.nursery._number = b"", 0
        self.nursery._reaped, self.nursery._waiting, self.nursery.gone = {}, collections.deque(), False
        self.failures: list[Exception] = []
        self.fds: list[int] = []

    def attach(self) -> None:
        agent = types.SimpleNamespace(loop=asyncio.get_running_loop())
        self.nursery.attach(cast(Any, agent), self.failures.append)

    async def lines(self, count: int) -> list[dict[str, Any]]:
        data, until = b"", clock() + 20
        self.theirs.setblocking(False)
        while data.count(b"\n") < count:
            assert clock() < until
            await asyncio.sleep(0)
            try:
                more, fds, _, _ = socket.recv_fds(self.theirs, 4096, 16)
            except BlockingIOError:
                continue
            assert more
            data += more
            self.fds += fds
        return [json.loads(line) for line in data.splitlines()]


def test_messages_that_the_nursery_reads_late_arrive_in_order() -> None:
    async def body() -> None:
        u = Unread()
        u.attach()
        for n in range(1000):
            u.nursery.kill(n)
        ours = []
        for _ in range(20):
            a, b = socket.socketpair()
            ours.append(a)
            u.nursery.fork(b, 5)
        u.nursery.lease(7)
        lines = await u.lines(1021)
        assert lines[:1000] == [{"kill": n} for n in range(1000)]
        assert lines[1000:] == [*({"fork": n, "memory_mb": 5} for n in range(1, 21)), {"fence_at": 7}]
        assert not u.failures and len(u.fds) == 20
        for n, fd in enumerate(u.fds):  # each is the one of its run
            os.write(fd, b"%d" % n)
            os.close(fd)
            assert ours[n].recv(10) == b"%d" % n and ours[n].recv(1) == b"", "no copy is left here"
            ours[n].close()
        u.theirs.close()
        await asyncio.sleep(0.05)
        assert len(u.failures) == 1 and u.nursery.gone
        a, b = socket.socketpair()
        _, reaped = u.nursery.fork(b, 5)  # what comes afterwards waits for nothing
        assert (await asyncio.wait_for(reaped, 5)).status == -signal.SIGKILL
        assert a.recv(1) == b"" and len(u.failures) == 1

    asyncio.run(body())


def test_run_that_does_not_end_is_killed_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    now = 100.0
    monkeypatch.setattr("niyanta._isolated.clock", lambda: now)
    nursery = cast(Any, types.SimpleNamespace(kill=killed.append))
    host = ProcessHost(cast(Any, None), Handler("t", print), nursery, False)
    host.end()
    assert not killed, "there is no process yet"
    host._number = 3
    for now in (100.0, 100.05, 100.9, 101.1, 101.2):
        host.end()
    assert killed == [3, 3]


def test_run_whose_nursery_is_gone_is_given_back() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("spin")
        await f.until("it runs", lambda: f.c.events("wl_1") == ["start"])
        host = cast(Any, next(iter(f.worker._engine.agent.runs)).host)  # type: ignore[union-attr]
        await f.until("it has a process", lambda: host._number)
        os.kill(host._nursery._process.pid, signal.SIGKILL)
        await f.until("it ends", lambda: f.c.ended)

    f = Fixture(Coordinator())
    f.worker.workload("spin", isolate=True)(isolated.spin)
    with pytest.raises(RuntimeError, match="isolated handlers is gone"):
        f.run(test)
    assert f.c.events("wl_1") == ["start", "release"]


def test_process_that_a_handler_forks_does_not_take_the_nursery_along() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("forks")
        await f.until("it completes", lambda: f.c.events("wl_1") == ["start", "complete"])
        f.c.assign("pool", "wl_2")
        await f.until("an isolated run completes", lambda: f.c.events("wl_2") == ["start", "complete"], 20)

    f = Fixture(Coordinator())
    f.worker.workload("pool", isolate=True)(isolated.use_processes)

    @f.worker.workload("forks")
    def forks(task: SyncTask[Any, None]) -> None:
        if (pid := os.fork()) == 0:
            try:
                atexit._run_exitfuncs()
            finally:
                os._exit(0)
        os.waitpid(pid, 0)

    f.run(test)


# The nursery itself.


class Forked:
    """A nursery that was forked from here, so that a test can change it before."""

    def __init__(self, prepare: Callable[[], None]) -> None:
        self.ctrl, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.ctrl.close()
                prepare()
                _nursery._main(theirs, {"spin": Handler("spin", isolated.spin, True)}, None)
            finally:
                os._exit(3)
        theirs.close()
        self.ctrl.settimeout(20)
        assert self.ctrl.recv(1) == b"!"
        self.tell({"fence_at": clock() + 600})

    def tell(self, message: dict[str, Any], *fds: int) -> None:
        socket.send_fds(self.ctrl, [json.dumps(message).encode() + b"\n"], list(fds))

    def reaped(self) -> tuple[int, Used]:
        message = json.loads(self.ctrl.recv(65536))
        return message["reaped"], Used.read(message)

    def spin(self, number: int) -> int:
        """Has it fork a process that computes for ever, and returns its id."""
        ours, theirs = socket.socketpair()
        with theirs:
            self.tell({"fork": number, "memory_mb": 1000}, theirs.fileno())
        self.held = ours
        found: list[int] = eventually("it is forked", lambda: children(self.pid))
        return found[-1]

    def end(self) -> None:
        self.ctrl.close()
        os.waitpid(self.pid, 0)


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(p) for p in f.read().split()]


@pytest.fixture
def forked() -> Iterator[Callable[..., Forked]]:
    made: list[Forked] = []

    def make(prepare: Callable[[], None] = lambda: None) -> Forked:
        made.append(Forked(prepare))
        return made[-1]

    yield make
    for f in made:
        f.end()


def test_nursery_that_fails_takes_its_processes_along(forked: Callable[..., Forked]) -> None:
    def prepare() -> None:
        def fail(*_: Any) -> None:
            raise RuntimeError("a mistake")

        original = json.loads
        setattr(json, "loads", lambda line: fail() if b"break" in line else original(line))

    n = forked(prepare)
    child = n.spin(1)
    n.tell({"break": 1})
    eventually("the child is gone", lambda: not alive(child))
    assert n.reaped()[0] == 1
    eventually("it is gone", lambda: not alive(n.pid))


def test_nursery_whose_descriptors_are_used_up_ends_one_run(forked: Callable[..., Forked]) -> None:
    n = forked()
    child = n.spin(1)
    soft, hard = resource.prlimit(n.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(n.pid, resource.RLIMIT_NOFILE, (3, hard))
    a, b = socket.socketpair()
    with a, b:
        n.tell({"fork": 2, "memory_mb": 0}, b.fileno())
        number, used = n.reaped()
    assert (number, used.over) == (2, "no descriptor was left for the run's process")
    assert alive(child) and alive(n.pid), "though the memory of runs could not be looked at meanwhile"
    resource.prlimit(n.pid, resource.RLIMIT_NOFILE, (soft, hard))
    n.tell({"kill": 1})
    number, used = n.reaped()
    assert (number, used.status, used.over) == (1, -signal.SIGKILL, "")


def test_nursery_outlives_a_signal_for_all_processes(forked: Callable[..., Forked]) -> None:
    n = forked()
    child = n.spin(1)
    for pid in (n.pid, child):
        os.kill(pid, signal.SIGTERM)
    n.tell({"kill": 1})
    assert n.reaped()[1].status == -signal.SIGKILL, "the child was not ended by the first signal"
    assert alive(n.pid)


# Its start.


def test_program_that_takes_long_to_import_is_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_nursery, "_READY_INTERVAL", 0.01)
    with caplog.at_level(logging.WARNING, "niyanta.worker"):
        Nursery({"spin": Handler("spin", isolated.spin, True)}, None).close()
    assert "has imported the program for" in caplog.messages[0]
    assert "the program was imported after" in caplog.messages[-1]


def test_program_that_is_never_imported_ends_with_what_took_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_nursery, "_READY_INTERVAL", 0.01)
    monkeypatch.setattr(_nursery, "_READY_TIMEOUT", 0.02)
    f = Fixture(Coordinator())
    f.worker.workload("spin", isolate=True)(isolated.spin)
    with pytest.raises(TimeoutError, match="isolated handlers has imported the program for .* s, and is not done"):
        asyncio.run(f.worker.run())

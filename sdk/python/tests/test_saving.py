"""Checkpoints whose outcome is not known: the newest state is what is durable in the end."""

from __future__ import annotations

import asyncio
import json
import threading
import types
from collections.abc import Awaitable, Callable
from typing import Any, cast

import httpx
import pytest

from niyanta import ApiError, SyncTask, Task
from niyanta._handlers import Handler
from niyanta._isolated import ProcessHost
from test_worker import Coordinator, Fixture, State, error

Before = Callable[[str], Awaitable[None]]


class Keeping(Coordinator):
    """Keeps the first bytes of each sequence, as coordinators do, and answers `already` to others."""

    def __init__(self, stored: Before) -> None:
        """stored is called when a checkpoint is stored, before that is answered."""
        super().__init__()
        self._stored = stored

    async def _PUT(self, request: httpx.Request, message: Any) -> httpx.Response:
        sequence = request.url.path.rsplit("/", 1)[1]
        known = sequence in self.saved
        self.saved.setdefault(sequence, request.content)
        self.puts.append((str(request.url), request.content))
        await self._stored(sequence)
        return httpx.Response(200, json={"outcome": "already" if known else "applied", "status": "RUNNING"})

    @property
    def newest(self) -> Any:
        return json.loads(self.saved[max(self.saved, key=int)])


def pulls(f: Fixture) -> bool:
    run = f.worker._engine.agent.runs.get(("wl_1", 1))  # type: ignore[union-attr]
    return run is not None and run.pulling


@pytest.mark.parametrize("kind", ["async", "thread"])
def test_save_after_one_that_the_platform_gave_up_is_durable(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("niyanta._checkpoints.STOP_GRACE", 0.3)
    stored, saves, goes_on = threading.Event(), threading.Event(), threading.Event()

    async def hang(sequence: str) -> None:
        if sequence == "1" and not stored.is_set():
            stored.set()
            while not goes_on.is_set():
                await asyncio.sleep(0.01)

    async def test(f: Fixture) -> None:
        f.c.assign(kind)
        await f.until("it offers a state", lambda: f.tasks)
        f.c.command("workload.checkpoint")
        await f.until("it is stored", stored.is_set)
        await f.until("the platform gives up", lambda: not pulls(f))
        saves.set()
        await asyncio.sleep(0.1)  # the save may begin before the other one is answered
        goes_on.set()
        await f.until("it completes", lambda: "complete" in f.c.events("wl_1"))

    c = Keeping(hang)
    f = Fixture(c)

    @f.worker.workload("async")
    async def in_loop(task: Task[Any, State]) -> None:
        task.on_checkpoint(lambda: State(1))
        f.tasks["wl_1"] = task
        await asyncio.to_thread(saves.wait, 20)
        await task.checkpoint(State(2))

    @f.worker.workload("thread")
    def in_thread(task: SyncTask[Any, State]) -> None:
        task.on_checkpoint(lambda: State(1))
        f.tasks["wl_1"] = task
        saves.wait(20)
        task.checkpoint(State(2))

    f.run(test)
    assert c.newest == {"at": 2} and c.saved == {"1": b'{"at":1}', "2": b'{"at":2}'}


def test_save_after_one_that_the_handler_gave_up_is_durable() -> None:
    goes_on = threading.Event()

    async def hang(sequence: str) -> None:
        while sequence == "1" and not goes_on.is_set():
            await asyncio.sleep(0.01)

    async def test(f: Fixture) -> None:
        f.c.assign("impatient")
        await f.until("it completes", lambda: "complete" in f.c.events("wl_1"))

    c = Keeping(hang)
    f = Fixture(c)

    @f.worker.workload("impatient")
    async def impatient(task: Task[Any, State]) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(task.checkpoint(State(1)), 0.1)
        second = asyncio.ensure_future(task.checkpoint(State(2)))
        await asyncio.sleep(0.1)
        goes_on.set()
        await second

    f.run(test)
    assert c.saved == {"1": b'{"at":1}', "2": b'{"at":2}'}


def test_save_after_one_that_was_stored_and_then_refused_is_durable() -> None:
    """What lies on the way refuses the second try of what the first has stored."""
    tries = 0

    async def cut(sequence: str) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise httpx.ReadError("cut")

    async def refuse(request: httpx.Request, message: Any) -> httpx.Response | None:
        return error(413, "TOO_LARGE") if request.content == b'{"at":1}' and tries else None

    async def test(f: Fixture) -> None:
        f.c.assign("goes-on")
        await f.until("it completes", lambda: "complete" in f.c.events("wl_1"))

    c = Keeping(cut)
    c.script["PUT"] = refuse
    f = Fixture(c)

    @f.worker.workload("goes-on")
    async def goes_on(task: Task[Any, State]) -> None:
        with pytest.raises(ApiError):
            await task.checkpoint(State(1))
        await task.checkpoint(State(2))
        await task.checkpoint(State(3))

    f.run(test)
    assert c.saved == {"1": b'{"at":1}', "2": b'{"at":2}', "3": b'{"at":3}'}


def test_snapshot_of_a_process_that_is_not_answered_in_time_is_not_taken_for_none() -> None:
    """Otherwise a preemption would stop the run as if it had saved."""
    async def body() -> None:
        agent: Any = types.SimpleNamespace(loop=asyncio.get_running_loop())
        host = ProcessHost(agent, Handler("t", print), cast(Any, None), False)
        host._writer = cast(Any, types.SimpleNamespace(is_closing=lambda: True))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await host.snapshot()

    asyncio.run(body())

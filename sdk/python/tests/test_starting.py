"""A worker that is told to stop before it works."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

from niyanta import Task, Worker
from niyanta.resources import WorkerResources
from test_worker import Coordinator


def worker(coordinator: Coordinator) -> Worker:
    made = Worker("http://a", "key", worker_id="w1", http=coordinator.http, drain_timeout=5)

    @made.workload("noop")
    async def noop(task: Task[Any, None]) -> None:
        return None

    return made


@pytest.mark.parametrize("times", [1, 2])
def test_worker_that_is_stopped_while_it_starts_never_registers(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    coordinator, looks, goes_on = Coordinator(), threading.Event(), threading.Event()

    def offer(_: object) -> WorkerResources:
        looks.set()
        goes_on.wait(60)
        return WorkerResources()

    monkeypatch.setattr("niyanta._hardware.offer", offer)

    async def body() -> None:
        w = worker(coordinator)
        running = asyncio.ensure_future(w.run())
        await asyncio.to_thread(looks.wait, 60)
        for _ in range(times):
            w.stop()
        goes_on.set()
        await asyncio.wait_for(running, 30)
        assert not coordinator.sessions
        again = asyncio.ensure_future(w.run())  # what was asked for has been done
        while not coordinator.sessions:
            await asyncio.sleep(0.005)
        w.stop()
        await asyncio.wait_for(again, 30)

    asyncio.run(asyncio.wait_for(body(), 100))
    assert len(coordinator.ended) == 1


def test_worker_that_is_stopped_before_its_first_step_never_registers() -> None:
    coordinator = Coordinator()

    async def body() -> None:
        w = worker(coordinator)
        running = asyncio.ensure_future(w.run())
        w.stop()
        await asyncio.wait_for(running, 30)

    asyncio.run(body())
    assert not coordinator.sessions


# A worker whose look at the hardware lasts until it reads a line.
_PROGRAM = """
import sys
from niyanta import Worker, _hardware, resources, worker
def offer(_):
    print("looks", flush=True)
    sys.stdin.readline()
    return resources.WorkerResources()
_hardware.offer = offer
worker._END_TIMEOUT = 0.3
w = Worker("http://127.0.0.1:1", "key", worker_id="w1")
@w.workload("noop")
async def noop(task):
    return None
w.main()
"""


def start() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "looks\n"
    return process


def test_signal_while_the_worker_starts_ends_it_well() -> None:
    with start() as process:
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)  # it does not give up: what it waits for may come
        _, errors = process.communicate("\n", timeout=60)
    assert (process.returncode, errors) == (0, "")


def test_second_signal_while_the_worker_starts_ends_the_process() -> None:
    with start() as process:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        process.wait(60)
        assert process.stderr is not None
        assert process.stderr.read() == "niyanta: it has not started yet, the process ends\n"
    assert process.returncode == 1


# A worker whose event loop has nothing to do, and a signal that another thread gets.
_IDLE = """
import asyncio, signal, threading, time
from niyanta import Worker
w = Worker("http://127.0.0.1:1", "key", worker_id="w1")
async def run():
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    w.stop = lambda: loop.call_soon_threadsafe(told.set)
    def send():
        time.sleep(0.5)  # so that the loop waits
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        time.sleep(60)
    threading.Thread(target=send, daemon=True).start()
    await told.wait()
w.run = run
w.main()
"""


def test_signal_that_another_thread_gets_wakes_an_idle_worker() -> None:
    process = subprocess.run([sys.executable, "-c", _IDLE], env={"PYTHONPATH": ":".join(sys.path)}, timeout=60)
    assert process.returncode == 0

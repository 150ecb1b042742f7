"""How runs end that a worker does not let finish: they are given back, and have not failed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

import isolated
import niyanta
from conftest import Process, System
from niyanta import SyncTask, Task, WorkerError
from test_supervise import marked
from test_worker import Coordinator, Fixture, State


def test_run_is_given_back_by_a_worker_that_is_stopped_twice() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("slow-end")
        await f.until("it runs", lambda: f.c.events("wl_1") == ["start"])
        f.worker.stop()
        await f.until("it is told", lambda: f.seen)
        f.worker.stop()

    f = Fixture(Coordinator())

    @f.worker.workload("slow-end")
    def slow_end(task: SyncTask[Any, None]) -> None:
        while True:
            try:
                task.sleep(60)
            except niyanta.Stopped as stop:
                f.seen.append(type(stop).__name__)
                if type(stop) is niyanta.Stopped:
                    raise
                threading.Event().wait(0.01)  # it cleans up for longer than it may

    with pytest.raises(WorkerError, match="second signal"):
        f.run(test)
    assert f.c.events("wl_1") == ["start", "release"] and f.c.ended
    assert next(r for r in f.c.reports if r["event"] == "release")["reason"] == "worker drained"


def test_isolated_run_is_given_back_by_a_worker_that_is_stopped_twice() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("spin")
        await f.until("it runs", lambda: f.c.events("wl_1") == ["start"])
        f.worker.stop()
        f.worker.stop()

    f = Fixture(Coordinator())
    f.worker.workload("spin", isolate=True)(isolated.spin)
    with pytest.raises(WorkerError, match="second signal"):
        f.run(test)
    assert f.c.events("wl_1") == ["start", "release"]


def test_run_is_given_back_by_a_drain_that_takes_too_long() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("deaf")
        await f.until("it runs", lambda: f.c.events("wl_1") == ["start"])

    f = Fixture(Coordinator())
    f.worker._drain_timeout = 0.5

    @f.worker.workload("deaf")
    def deaf(task: SyncTask[Any, None]) -> None:
        while type(task.stop_cause) is not niyanta.Stopped:  # the drain is over
            threading.Event().wait(0.005)
        task.check()

    with pytest.raises(WorkerError, match="wl_1 did not stop"):
        f.run(test)
    assert f.c.events("wl_1") == ["start", "release"]


def test_run_is_given_back_by_a_worker_that_cannot_go_on() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("gate")
        await f.until("it runs", lambda: f.seen and f.c.events("wl_1") == ["start"])
        engine = f.worker._engine
        assert engine is not None
        engine.agent.call(engine._fail, RuntimeError("it cannot go on"))
        await f.until("it ends", lambda: f.c.ended)

    f = Fixture(Coordinator())
    with pytest.raises(RuntimeError, match="it cannot go on"):
        f.run(test)
    assert f.c.events("wl_1") == ["start", "release"]


def test_run_is_paused_though_the_worker_ends_meanwhile() -> None:
    async def test(f: Fixture) -> None:
        goes_on = threading.Event()

        async def hold(request: httpx.Request, message: Any) -> None:
            while not goes_on.is_set():
                await asyncio.sleep(0.01)

        f.c.script["PUT"] = hold
        f.c.assign("gate")
        await f.until("it runs", lambda: f.tasks and f.c.events("wl_1") == ["start"])
        f.tasks["wl_1"].on_checkpoint(lambda: State(1))
        f.c.command("workload.pause")
        agent = f.worker._engine.agent  # type: ignore[union-attr]
        await f.until("it saves", lambda: [r for r in agent.runs if r.halting])
        f.worker.stop()
        f.worker.stop()
        await f.until("it is reported", lambda: len(f.c.events("wl_1")) > 1)
        goes_on.set()

    f = Fixture(Coordinator())
    with pytest.raises(WorkerError):
        f.run(test)
    assert f.c.events("wl_1") == ["start", "paused"]


# What systemd does without KillMode=mixed.

PROGRAM = """
import isolated
from fleet import worker
worker.workload("saves-late", isolate=True)(isolated.save_when_told)
if __name__ == "__main__":
    worker.main()
"""


@pytest.mark.parametrize("supervised", [False, True], ids=["alone", "supervised"])
def test_signal_for_all_processes_has_isolated_runs_save(
    system: System, tmp_path: Path, supervised: bool
) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    mark = f"mark-{os.getpid()}-{tmp_path.name}"
    path = f"{Path(niyanta.__file__).parents[1]}:{Path(__file__).parent}"
    worker = system.start_worker(
        "s", [sys.executable, *(["-m", "niyanta.supervise"] if supervised else []), str(program)],
        PYTHONPATH=path, TEST_MARK=mark,
    )
    w = system.client.workloads.submit("saves-late", {}).workload_id
    system.detail(w, "waits")
    pids = {worker.pid, *marked(mark)}
    assert len(pids) >= 3 + supervised, "supervisor, worker, nursery and the run's process"
    for pid in sorted(pids, key=lambda p: p == worker.pid):
        os.kill(pid, signal.SIGTERM)
    assert worker.wait(20) == 0, worker.said()
    found = system.get(w)
    assert (found.checkpoint_sequence, found.retry_count, found.status_reason) == (1, 0, "worker drained"), repr(found)
    system.client.workloads.cancel(w)


def test_second_signal_a_moment_after_the_first_is_the_same_only_for_a_supervised_worker(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import asyncio, os, signal\n"
        "from niyanta import Worker\n"
        "w = Worker('http://127.0.0.1:1', 'key')\n"
        "async def run():\n"
        "    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):\n"
        "        os.kill(os.getpid(), number)\n"
        "        await asyncio.sleep(0.01)\n"
        "        print(w._stops, end=' ')\n"
        "w.run = run\n"
        "w.main()\n"
    )
    env = {"PYTHONPATH": str(Path(niyanta.__file__).parents[1])}
    alone = Process([sys.executable, str(program)], env, tmp_path / "alone")
    under = Process([sys.executable, "-m", "niyanta.supervise", str(program)], env, tmp_path / "under")
    assert (alone.wait(), under.wait()) == (0, 0)
    assert (alone.said().split(), under.said().split()) == (["1", "2", "3"], ["1", "1", "2"])

"""A worker program for the end-to-end tests. It is configured by the environment."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import dataclass
from typing import Any

from niyanta import RunError, Stopped, SyncTask, Task, Worker

worker = Worker.from_environment(drain_timeout=float(os.environ.get("TEST_DRAIN_TIMEOUT", "20")))
logger = logging.getLogger("fleet")


@dataclass
class To:
    to: int
    step_ms: float = 50


@dataclass
class At:
    at: int = 0


@worker.workload("noop")
async def noop(task: Task[dict[str, Any], None]) -> None:
    return None


@worker.workload("count")
async def count(task: Task[To, At]) -> dict[str, Any]:
    """Counts, and saves each number."""
    state = task.state or At()
    logger.info("begins at %d", state.at, extra={"at": state.at, "pid": os.getpid()})
    try:
        while state.at < task.input.to:
            await asyncio.sleep(task.input.step_ms / 1000)
            state.at += 1
            await task.checkpoint(state, percent=100 * state.at / task.input.to)
    except Stopped as stop:
        print(f"{task.workload_id} stopped: {type(stop).__name__}", flush=True)
        raise
    return {"counted": state.at, "generation": task.generation}


@worker.workload("thread-count")
def thread_count(task: SyncTask[To, At]) -> dict[str, Any]:
    """The same in a thread. It notices a stop when it saves."""
    state = task.state or At()
    logger.info("begins at %d", state.at, extra={"at": state.at})
    while state.at < task.input.to:
        time.sleep(task.input.step_ms / 1000)
        state.at += 1
        task.checkpoint(state, percent=100 * state.at / task.input.to)
    return {"counted": state.at, "generation": task.generation}


@worker.workload("process-count", isolate=True)
def process_count(task: SyncTask[To, At]) -> dict[str, Any]:
    """The same in a process of its own."""
    state = task.state or At()
    logger.info("begins at %d", state.at, extra={"at": state.at, "pid": os.getpid()})
    while state.at < task.input.to:
        time.sleep(task.input.step_ms / 1000)
        state.at += 1
        task.checkpoint(state, percent=100 * state.at / task.input.to)
    return {"counted": state.at, "generation": task.generation}


@worker.workload("process-async-count", isolate=True)
async def process_async_count(task: Task[To, At]) -> dict[str, Any]:
    """The same in an event loop in a process of its own."""
    return await count(task)


@worker.workload("snapshots")
async def snapshots(task: Task[To, At]) -> dict[str, Any]:
    """Counts, and lets the platform save."""
    state = task.state or At()
    task.on_checkpoint(lambda: state)
    while state.at < task.input.to:
        await asyncio.sleep(task.input.step_ms / 1000)
        state.at += 1
    return {"counted": state.at, "generation": task.generation}


@worker.workload("spin-process", isolate=True)
def spin_process(task: SyncTask[dict[str, Any], At]) -> None:
    """Computes for ever, with the interpreter's lock in its hands most of the time, beside a child."""
    import subprocess

    child = subprocess.Popen(["sleep", "1000"])
    task.log("spins", pid=os.getpid(), child=child.pid)
    task.checkpoint(At(1))
    while True:
        sum(range(10_000_000))


@worker.workload("spin")
async def spin(task: Task[dict[str, Any], None]) -> str:
    """Computes without a pause for some seconds, in the event loop of all coroutines."""
    until = time.monotonic() + task.input["seconds"]
    while time.monotonic() < until:
        sum(range(1000))
    return "done"


@worker.workload("fail")
async def fail(task: Task[dict[str, Any], None]) -> str:
    """Fails as its input says; without "kind", only in its first run."""
    match task.input.get("kind"):
        case "permanent":
            raise RunError("it cannot work", error_type="hopeless", permanent=True)
        case "crash":
            raise KeyError("missing")
    if task.attempt == 0:
        raise RunError("not yet", retry_after=0.1)
    return f"attempt {task.attempt}"


def hold(task: SyncTask[dict[str, Any], None]) -> None:
    """Tells what it holds of the worker's devices until it is told to stop."""
    devices = [[d.id, d.share] for d in task.devices]
    shown = [os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "NIYANTA_DEVICES")]
    task.log("holds", holds={"devices": devices, "shown": shown})
    task.sleep(600)


worker.workload("hold")(hold)
worker.workload("hold-process", isolate=True)(hold)


@worker.workload("crash-process", isolate=True)
def crash_process(task: SyncTask[dict[str, Any], None]) -> None:
    """Ends its process, with a status or by a signal."""
    if "signal" in task.input:
        os.kill(os.getpid(), task.input["signal"])
    os._exit(task.input.get("status", 3))


@worker.workload("large")
async def large(task: Task[dict[str, Any], str]) -> int:
    """Saves a large state once and returns its length when it is resumed."""
    if task.state is None:
        await task.checkpoint("x" * task.input["bytes"])
        raise RunError("continue from the checkpoint", retry_after=0)
    return len(task.state)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    worker.main()

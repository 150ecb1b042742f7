"""Counts, with the SDK for Python."""

import asyncio
from dataclasses import dataclass

from niyanta import RunError, Task, Worker

worker = Worker.from_environment()  # NIYANTA_COORDINATOR_URL, NIYANTA_WORKER_KEY


@dataclass
class Count:
    to: int
    step_ms: int = 100
    fail_at: int = 0
    bytes: int = 0


@dataclass
class State:
    at: int = 0
    padding: str = ""


@worker.workload("count")
async def count(task: Task[Count, State]) -> dict[str, int]:
    params = task.input
    state = task.state or State(padding="x" * params.bytes)
    task.on_checkpoint(lambda: state)
    while state.at < params.to:
        await asyncio.sleep(params.step_ms / 1000)
        if state.at + 1 == params.fail_at:
            raise RunError(f"{params.fail_at} is a bad number", error_type="bad_number")
        state.at += 1
        if state.at % 10 == 0:
            await task.checkpoint(state, percent=100 * state.at / params.to)
    return {"counted": state.at}


if __name__ == "__main__":
    worker.main()

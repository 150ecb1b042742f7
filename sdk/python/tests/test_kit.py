"""The test kit, on handlers that are right and on some that are not."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from niyanta import Cancelled, Draining, LeaseLost, Paused, RunError, Stopped, SyncTask, Task
from niyanta.testing import Failed, Kit


@dataclass
class Sum:
    at: int = 0
    total: int = 0
    seen: list[int] = field(default_factory=list)


async def add(task: Task[dict[str, Any], Sum]) -> dict[str, Any]:
    s = task.state or Sum()
    while s.at < task.input["to"]:
        s.at += 1
        s.total += s.at
        s.seen.append(s.at)
        task.log("added", n=s.at)
        await task.checkpoint(s, percent=100 * s.at / task.input["to"], message=f"{s.at}")
    return {"total": s.total, "seen": s.seen}


def add_in_thread(task: SyncTask[dict[str, Any], Sum]) -> dict[str, Any]:
    s = task.state or Sum()
    while s.at < task.input["to"]:
        s.at += 1
        s.total += s.at
        s.seen.append(s.at)
        task.checkpoint(s)
    return {"total": s.total, "seen": s.seen}


ANSWER = {"total": 15, "seen": [1, 2, 3, 4, 5]}


@pytest.mark.parametrize("function", [add, add_in_thread])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_kit_crashing_after_any_checkpoint_gives_the_same_result(function: Any, n: int) -> None:
    kit = Kit(function)
    assert kit.run({"to": 5}) == ANSWER and kit.runs == 1
    assert kit.run_crashing_after(n, {"to": 5}) == ANSWER
    assert kit.runs == 5 // n + 1
    assert [s["at"] for s in kit.states] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("function", [add, add_in_thread])
@pytest.mark.parametrize("cause", [Paused, Draining, LeaseLost])
def test_kit_stopping_after_any_checkpoint_gives_the_same_result(function: Any, cause: type[Stopped]) -> None:
    kit = Kit(function)
    assert kit.run_stopping_after(2, cause, {"to": 5}) == ANSWER and kit.runs == 3


def test_kit_finds_a_handler_that_saves_before_it_has_done_the_work() -> None:
    async def early(task: Task[Any, Sum]) -> list[int]:
        s = task.state or Sum()
        while s.at < 5:
            s.at += 1
            await task.checkpoint(s)
            s.seen.append(s.at)
        return s.seen

    kit = Kit(early)
    assert kit.run({}) == [1, 2, 3, 4, 5]
    assert kit.run_crashing_after(2, {}) != [1, 2, 3, 4, 5]


def test_kit_ends_a_workload_that_never_finishes() -> None:
    async def forgets(task: Task[Any, Sum]) -> None:
        await task.checkpoint(Sum())
        await task.checkpoint(Sum())

    with pytest.raises(Exception, match="not finished after 7 runs"):
        Kit(forgets, max_runs=7).run_crashing_after(1, {})


def test_kit_notes_progress_and_lines() -> None:
    kit = Kit(add, labels={"a": "b"})
    kit.run({"to": 2})
    assert kit.progress == [(50, "1"), (100, "2")]
    assert [(x.level, x.message, x.details) for x in kit.lines] == [("INFO", "added", {"n": n}) for n in (1, 2)]


def test_kit_retries_as_often_as_it_is_told() -> None:
    async def fails(task: Task[Any, None]) -> int:
        if task.attempt < 2:
            raise RunError("not yet", retry_after=3)
        return task.attempt

    kit = Kit(fails, max_retries=2)
    assert kit.run({}) == 2 and kit.pauses == [3, 3]
    with pytest.raises(Failed, match="not yet"):
        Kit(fails, max_retries=1).run({})


def test_kit_raises_a_permanent_failure_at_once() -> None:
    def hopeless(task: SyncTask[Any, None]) -> None:
        raise RunError("never", permanent=True, error_type="hopeless")

    kit = Kit(hopeless, max_retries=9)
    with pytest.raises(Failed) as raised:
        kit.run({})
    assert raised.value.error_type == "hopeless" and kit.runs == 1 and "Traceback" in raised.value.trace


def test_kit_times_out() -> None:
    async def sleeps(task: Task[Any, None]) -> None:
        await asyncio.sleep(60)

    def computes(task: SyncTask[Any, None]) -> None:
        while True:
            time.sleep(0.01)
            task.check()

    both: list[Any] = [sleeps, computes]
    for function in both:
        with pytest.raises(Failed, match="timed out after 0.1 s"):
            Kit(function, timeout=0.1).run({})


def test_kit_checks_input_and_what_it_is_asked_for() -> None:
    async def typed(task: Task[Sum, None]) -> int:
        return task.input.at

    assert Kit(typed).run(Sum(at=4)) == 4
    with pytest.raises(Failed, match="input_params.at"):
        Kit(typed).run({"at": "four"})
    with pytest.raises(ValueError):
        Kit(add).run_crashing_after(0, {"to": 1})
    with pytest.raises(ValueError, match="Cancelled"):
        Kit(add).run_stopping_after(1, Cancelled, {"to": 1})


def test_kit_runs_beside_an_event_loop() -> None:
    async def test() -> None:
        assert Kit(add).run_crashing_after(1, {"to": 5}) == ANSWER

    asyncio.run(test())

"""Isolated runs are held to their resource_limits, and their processes cannot speak for others."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from typing import Any

import pytest

import isolated
from niyanta._limits import Limits, Used
from niyanta._nursery import _Children
from niyanta._run import Assignment
from test_worker import Coordinator, Fixture


def run(kind: str, input_params: dict[str, Any], limits: dict[str, float] | None = None, **more: Any) -> dict[str, Any]:
    """Returns the report that ends a run in a process of its own."""
    found: list[dict[str, Any]] = []

    async def test(f: Fixture) -> None:
        f.c.assign(kind, input_params=input_params, resource_limits=limits or {}, **more)
        f.c.assign("gate", "wl_2")

        def over() -> list[dict[str, Any]]:
            return [r for r in f.c.reports if r["event"] in ("complete", "fail")]

        await f.until("it ends", over, 25)
        found.extend(over())
        assert {r["workload_id"] for r in found} == {"wl_1"}, "it speaks for no other run"

    f = Fixture(Coordinator())
    for name in ("take", "spin", "forge", "offer_much"):
        f.worker.workload(name, isolate=True)(getattr(isolated, name))
    f.run(test)
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    "how",
    [{}, {"child": True}, {"shared": "mapped"}, {"shared": "file"}],
    ids=["itself", "child", "shared", "file in memory"],
)
def test_run_that_takes_more_memory_than_it_may_fails_with_the_figure(how: dict[str, Any]) -> None:
    end = run("take", {"mb": 400, **how}, {"memory_mb": 150})
    assert end["failure"]["type"] == "resources" and not end["failure"].get("permanent")
    text = end["failure"]["message"]
    assert text.startswith("the run used ") and text.endswith(" MB of memory, and its limit is 150 MB")
    assert int(text.split()[3]) >= 150 and end["used"]["peak_memory_mb"] > 100


def test_run_that_takes_all_at_once_gets_no_more_memory() -> None:
    end = run("take", {"mb": 4000, "at_once": True}, {"memory_mb": 100})
    assert end["failure"]["type"] == "resources" and end["failure"]["message"].endswith("its limit is 100 MB")


def test_run_within_its_limits_is_left_alone() -> None:
    end = run("take", {"mb": 30, "keep": 1}, {"memory_mb": 400, "cpu_cores": 1, "disk_mb": 1}, timeout_ms=600_000)
    assert end["event"] == "complete" and end["result"] == "kept"
    assert end["used"]["cpu_ms"] > 0 and end["used"]["peak_memory_mb"] >= 30


def test_run_whose_state_is_too_large_to_be_saved_goes_on() -> None:
    end = run("offer_much", {"mb": 65}, checkpoint_interval_ms=200)
    assert end["event"] == "complete" and end["result"] == "offered"


def test_run_that_uses_more_processors_than_it_may_fails_with_the_figure() -> None:
    end = run("spin", {}, {"cpu_cores": 0.01}, timeout_ms=100_000)
    assert end["failure"]["type"] == "resources"
    assert end["failure"]["message"].startswith("the run used 1 s of CPU time")


def test_limits_are_those_that_the_kernel_can_hold() -> None:
    def of(limits: dict[str, float], timeout_ms: int) -> Limits:
        return Limits.of(Assignment("wl", "c", "t", 1, resource_limits=limits, timeout_ms=timeout_ms))

    assert of({}, 1000) == of({"cpu_cores": 2}, 0) == Limits()
    assert of({"cpu_cores": 1.5, "memory_mb": 64}, 3000) == Limits(64, 5)
    killed = Used(-signal.SIGKILL, cpu_ms=5000)
    assert killed.of_limits(Limits(cpu_seconds=5)) and not killed.of_limits(Limits(cpu_seconds=6))
    assert not Used(1, cpu_ms=9000).of_limits(Limits(cpu_seconds=5)), "it ended by itself"


@pytest.mark.parametrize("what", ["result", "length", "no-json", "kind", "types", "ended"])
def test_process_that_forges_messages_fails_its_own_run_only(what: str) -> None:
    end = run("forge", {"what": what})
    assert end["event"] == "fail" and end["failure"]["type"] == "process"


def test_process_cannot_say_what_it_has_used() -> None:
    assert run("forge", {"what": "used"})["used"].get("cpu_ms", 0) < 60_000


def test_run_that_gets_no_process_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_process() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", no_process)
    worker, ctrl = socket.socketpair()
    run, theirs = socket.socketpair()
    wake, waker = os.pipe()
    with worker, ctrl, run, theirs:
        children = _Children(ctrl, {})
        socket.send_fds(worker, [b'{"fork": 7, "memory_mb": 64}\n'], [theirs.fileno()])
        theirs.close()
        assert children.serve(wake), "the nursery goes on"
        told = json.loads(worker.recv(65536))
        assert told["reaped"] == 7
        over = Used.read(told).of_limits(Limits(memory_mb=64))
        assert over == "no process could be started for the run: [Errno 11] Resource temporarily unavailable"
        assert run.recv(1) == b"", "nobody holds the socket of the run"
        assert not children.groups
        worker.send(b'{"kill": 7}\n')
        assert children.serve(wake)
    os.close(wake)
    os.close(waker)

"""Workers in Go and in Python of one type, side by side: a job moves between both through its
checkpoints, whatever happens to its worker."""

from __future__ import annotations

import random
import signal
import sys
import time

import pytest

from conftest import EXAMPLES, LEASE, Process, System, eventually, go_worker
from niyanta import Workload

# How long the long test breaks workers.
CHAOS = 60.0


def start(system: System, kind: str) -> Process:
    """Starts a worker of the kind "go" or "py"."""
    command = [go_worker()] if kind == "go" else [sys.executable, str(EXAMPLES / "count" / "worker.py")]
    return system.start_worker(f"{kind}-", command)


def runs_by(system: System, workload: str) -> str:
    """Returns the worker that runs a workload, as soon as one does."""
    def running() -> str | None:
        w = system.get(workload)
        assert not w.is_final, repr(w)
        return w.worker_id if w.status == "RUNNING" else None

    return str(eventually(f"{workload} runs", running, LEASE + 30))


def check(system: System, done: Workload, to: int) -> set[str]:
    """Checks that a workload has one outcome and that nothing of it was lost. Returns the kinds of its
    workers."""
    assert done.result() == {"counted": to} and done.retry_count == 0, repr(done)
    events = list(system.client.workloads.audit(done.workload_id))
    assert [e.event_type for e in events].count("workload.completed") == 1
    saved = [e.details for e in events if e.event_type == "workload.checkpoint_created"]
    assert [d["checkpoint_sequence"] for d in saved] == list(range(1, len(saved) + 1))
    reached = [d["progress_percent"] for d in saved]
    assert reached == sorted(reached), f"each run continues from the last checkpoint: {saved}"
    generations = [e.details["generation"] for e in events if e.event_type == "workload.started"]
    assert generations == sorted(set(generations))
    workers = {e.details["worker_id"] for e in events if e.event_type == "workload.started"}
    return {w.split("-")[0] for w in workers}


@pytest.mark.smoke
def test_job_moves_from_go_to_python_and_back(system: System) -> None:
    workers = {w.name: w for w in (start(system, "go"), start(system, "py"))}
    id = system.client.workloads.submit("count", {"to": 1000, "step_ms": 20, "bytes": 2000}).workload_id
    ran: list[str] = []
    for ending in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP):
        name = runs_by(system, id)
        sequence = system.get(id).checkpoint_sequence
        system.await_checkpoint(id, sequence + 2)
        ran.append(name.split("-")[0])
        victim = workers.pop(name)
        victim.signal(ending)
        if ending == signal.SIGTERM:
            assert victim.wait(20) == 0, victim.said()
        eventually("it runs elsewhere", lambda: system.get(id).worker_id not in (name, None), LEASE + 30)
        if ending == signal.SIGSTOP:
            victim.signal(signal.SIGCONT)
        replacement = start(system, ran[-1])
        workers[replacement.name] = replacement
    ran.append(runs_by(system, id).split("-")[0])
    assert ran in (["go", "py", "go", "py"], ["py", "go", "py", "go"])
    done = system.client.workloads.wait_for_completion(id, timeout=90)
    assert check(system, done, 1000) == {"go", "py"}


def test_jobs_of_a_mixed_fleet_survive_chaos(system: System) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    choose = random.Random(seed)
    workers = [start(system, kind) for kind in ("go", "py") * 3]
    w = system.client.workloads
    ids = [w.submit("count", {"to": 1000, "step_ms": 40, "bytes": 500}).workload_id for _ in range(12)]
    frozen: list[tuple[float, Process]] = []
    until, ended = time.monotonic() + CHAOS, 0
    while time.monotonic() < until:
        time.sleep(choose.uniform(1, 4))
        victim = workers.pop(choose.randrange(len(workers)))
        ending = choose.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
        victim.signal(ending)
        ended += 1
        if ending == signal.SIGSTOP:
            frozen.append((time.monotonic() + choose.uniform(0, 2 * LEASE), victim))
        else:
            workers.append(start(system, victim.name.split("-")[0]))
        for at, thawed in [f for f in frozen if f[0] <= time.monotonic()]:
            thawed.signal(signal.SIGCONT)  # it fences itself, or goes on
            frozen.remove((at, thawed))
            workers.append(thawed)
    for _, thawed in frozen:
        thawed.signal(signal.SIGCONT)
    kinds = [check(system, w.wait_for_completion(id, timeout=180), 1000) for id in ids]
    moved = sum(k == {"go", "py"} for k in kinds)
    print(f"{ended} workers were ended, {moved} of {len(ids)} jobs ran in both languages")
    assert moved >= len(ids) // 4

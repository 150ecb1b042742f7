"""How fast Python workers are, and how long it takes until the work of one that is gone runs elsewhere,
with every default in force. `make python-figures` runs these and prints the figures."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import Postgres, Process, System, eventually
from niyanta import Submission

pytestmark = pytest.mark.figures

REPETITIONS = 5
# How many workloads the worker runs.
WORKLOADS = 20
# The defaults of heartbeat and lease, in seconds.
INTERVAL, LEASE = 2.5, 10.0


@pytest.fixture(scope="module")
def defaults(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A coordinator on PostgreSQL with the default times."""
    system = System("postgres", tmp_path_factory.mktemp("defaults"), postgres, INTERVAL, LEASE)
    yield system
    system.end()


def vanish(supervisor: Process, worker: int, number: int) -> None:
    """Sends a signal to a worker and its supervisor."""
    supervisor.signal(number)
    os.kill(worker, number)


Cause = Callable[[Process, int], None]
CAUSES: dict[str, tuple[float, Cause]] = {
    "worker SIGKILL (certified)": (2, lambda _, worker: os.kill(worker, signal.SIGKILL)),
    "worker and supervisor SIGKILL": (12, lambda supervisor, worker: vanish(supervisor, worker, signal.SIGKILL)),
    "worker and supervisor SIGSTOP": (12, lambda supervisor, worker: vanish(supervisor, worker, signal.SIGSTOP)),
    "worker SIGTERM": (2, lambda supervisor, _: supervisor.signal(signal.SIGTERM)),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_work_of_a_worker_that_is_gone_runs_elsewhere(
    defaults: System, capsys: pytest.CaptureFixture[str], cause: str
) -> None:
    limit, end = CAUSES[cause]
    took = [measure(defaults, end) for _ in range(REPETITIONS)]
    with capsys.disabled():
        print(f"\n| {cause}, {WORKLOADS} workloads | n={REPETITIONS} p50 {statistics.median(took):.2f} s "
              f"max {max(took):.2f} s | limit {limit} s |")
    assert max(took) <= limit


def measure(system: System, end: Cause) -> float:
    """Returns how long it takes until all workloads of a worker run on another one."""
    victim = system.worker(slots=WORKLOADS, supervised=True)
    w = system.client.workloads
    ids = [w.submit("count", {"to": 100_000, "step_ms": 500}).workload_id for _ in range(WORKLOADS)]
    for id in ids:
        system.await_checkpoint(id, 1)
    heir = system.worker(slots=WORKLOADS, supervised=True)
    children = Path(f"/proc/{victim.pid}/task/{victim.pid}/children").read_text().split()
    began = time.monotonic()
    end(victim, int(children[0]))

    def moved() -> bool:
        mine = [x for x in w.list(workload_type="count") if x.workload_id in ids]
        return len(mine) == WORKLOADS and all(
            x.generation == 2 and x.status == "RUNNING" and x.worker_id == heir.name for x in mine
        )

    eventually("all run elsewhere", moved, 60)
    took = time.monotonic() - began
    for id in ids:
        assert system.get(id).checkpoint_sequence >= 1, "from their checkpoints"
        w.cancel(id)
    victim.signal(signal.SIGCONT)
    for child in children:
        try:
            os.kill(int(child), signal.SIGKILL)
        except ProcessLookupError:
            pass
    system.end_workers()
    return took


def cpu_seconds(pid: int) -> float:
    """Returns the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_no_ops_of_one_process(system: System, capsys: pytest.CaptureFixture[str]) -> None:
    count, least = 20_000, 1000
    one = Submission(workload_type="noop", input_params={})
    for _ in range(count // 1000):
        assert all(r.workload_id for r in system.client.workloads.submit_batch([one] * 1000))
    worker = system.worker(slots=1000)
    began, used = time.monotonic(), cpu_seconds(worker.pid)

    def done() -> bool:
        usage = system.client.customer().usage
        return usage.current_queue_depth + usage.current_running_workloads == 0

    eventually("all are done", done, 120)
    rate, each = count / (time.monotonic() - began), (cpu_seconds(worker.pid) - used) / count
    with capsys.disabled():
        print(f"\n| no-ops a second from one process, on {system.store} | {rate:.0f}, each {each * 1000:.2f} ms of CPU "
              f"time | limit {least} |")
    assert rate >= least

"""Real workers with a real coordinator: what runs goes on from its last checkpoint, whatever
happens to the process."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from conftest import LEASE, Process, System, alive, eventually
from niyanta import AsyncClient, InvalidState, NotFound, RetryBackoff, Status, Submission, WorkloadFailed

smoke = pytest.mark.smoke
KINDS = ["count", "thread-count", "process-count", "process-async-count"]


@pytest.mark.parametrize("kind", [pytest.param("count", marks=smoke), *KINDS[1:]])
def test_workload_completes_with_its_checkpoints_log_and_audit(system: System, kind: str) -> None:
    system.worker()
    w = system.client.workloads
    done = w.wait_for_completion(w.submit(kind, {"to": 3}, labels={"a": "b"}).workload_id, timeout=30)
    assert done.result() == {"counted": 3, "generation": 1} and done.labels == {"a": "b"}
    assert [c.sequence for c in w.checkpoints(done.workload_id)] == [3, 2, 1]
    assert w.get_checkpoint(done.workload_id, 2).size_bytes == len(b'{"at":2}')
    assert w.checkpoint_data(done.workload_id, 2) == b'{"at":2}'
    lines = list(w.logs(done.workload_id))
    assert [(x.level, x.message, x.details["at"]) for x in lines] == [("INFO", "begins at 0", 0)]
    kinds = [e.event_type for e in w.audit(done.workload_id)]
    assert kinds[0] == "workload.created" and kinds[-1] == "workload.completed"
    assert kinds.count("workload.checkpoint_created") == 3


def begun_on_one_of_two(system: System, kind: str, to: int) -> tuple[str, Process, Process]:
    """Returns a workload that is in the middle, the worker that runs it, and another worker."""
    workers = {w.name: w for w in (system.worker(), system.worker())}
    w = system.client.workloads.submit(kind, {"to": to}).workload_id
    system.await_status(w, "RUNNING")
    if kind != "snapshots":
        system.await_checkpoint(w, 3)
    first = workers.pop(system.get(w).worker_id or "")
    (second,) = workers.values()
    return w, first, second


@pytest.mark.parametrize("kind", KINDS)
def test_worker_killed_in_the_middle_work_continues_elsewhere(system: System, kind: str) -> None:
    w, first, second = begun_on_one_of_two(system, kind, 60)
    pid = system.detail(w, "pid") if kind.startswith("process") else 0
    first.signal(signal.SIGKILL)
    if pid:
        eventually("the process of the run is gone with its worker", lambda: not alive(pid))
    done = system.client.workloads.wait_for_completion(w, timeout=60)
    assert done.result() == {"counted": 60, "generation": 2}
    assert done.last_worker_id == second.name and done.retry_count == 0
    begins = [x.details["at"] for x in system.client.workloads.logs(w) if "at" in x.details]
    assert len(begins) == 2 and begins[1] >= 3, "it continues from its last checkpoint"
    assert [c.sequence for c in system.client.workloads.checkpoints(w)][0] == 60, "no step was done twice"


@pytest.mark.parametrize("kind", ["count", "process-count"])
def test_worker_frozen_in_the_middle_work_moves_and_nothing_of_the_old_run_lands(system: System, kind: str) -> None:
    w, first, second = begun_on_one_of_two(system, kind, 300)
    pid = system.detail(w, "pid")
    frozen = time.monotonic()
    first.signal(signal.SIGSTOP)
    if kind == "process-count":
        eventually("the process of the run is killed before the lease is over", lambda: not alive(pid), LEASE)
        assert time.monotonic() - frozen < LEASE
    eventually("it runs elsewhere", lambda: (x := system.get(w)).generation == 2 and x.status == "RUNNING", LEASE + 10)
    first.signal(signal.SIGCONT)
    eventually("it registers anew", lambda: first.said().count("registered as") == 2)
    if kind == "count":
        eventually("its run stops", lambda: f"{w} stopped: LeaseLost" in first.said())
    now = system.get(w)
    assert now.generation == 2 and now.worker_id == second.name
    system.client.workloads.cancel(w)
    workers = {e.details.get("worker_id") for e in system.client.workloads.audit(w)
               if e.event_type == "workload.checkpoint_created" and e.details["generation"] == 2}
    assert workers <= {second.name}


@pytest.mark.parametrize("kind", [*KINDS, "snapshots"])
def test_worker_terminated_in_the_middle_gives_its_work_back(system: System, kind: str) -> None:
    w, first, second = begun_on_one_of_two(system, kind, 60)
    first.signal(signal.SIGTERM)
    assert first.wait(20) == 0, first.said()
    assert "left" in first.said()
    done = system.client.workloads.wait_for_completion(w, timeout=60)
    assert done.result() == {"counted": 60, "generation": 2}
    events = [e.event_type for e in system.client.workloads.audit(w)]
    assert "workload.released" in events or done.redistribution_count == 1
    assert done.last_worker_id == second.name


@pytest.mark.parametrize("kind", [*KINDS, "snapshots"])
def test_pause_saves_and_resume_continues(system: System, kind: str) -> None:
    system.worker()
    w = system.client.workloads
    id = w.submit(kind, {"to": 40}).workload_id
    system.await_status(id, "RUNNING")
    if kind == "snapshots":  # it saves when it is asked
        eventually("it can save", lambda: w.request_checkpoint(id).checkpoint_sequence)
    else:
        system.await_checkpoint(id, 1)
    answer = w.pause(id, reason="a test")
    assert answer.status == Status.PAUSED and answer.checkpoint_sequence > 0
    with pytest.raises(InvalidState):
        w.retry(id)
    w.resume(id)
    done = w.wait_for_completion(id, timeout=60)
    assert done.result() == {"counted": 40, "generation": 2}


def test_isolated_handler_that_never_yields_is_killed_when_cancelled(system: System) -> None:
    worker = system.worker(slots=1)
    w = system.client.workloads.submit("spin-process", {}).workload_id
    pid, child = system.detail(w, "pid"), system.detail(w, "child")
    assert alive(pid) and alive(child)
    system.client.workloads.cancel(w)
    eventually("it is gone with what it started", lambda: not alive(pid) and not alive(child))
    after = system.client.workloads.submit("count", {"to": 1}).workload_id
    system.await_status(after, "COMPLETED")
    assert worker.said().count("registered as") == 1, "the slot is free, the session goes on"


def test_handler_that_computes_without_a_pause_starves_no_heartbeat(system: System) -> None:
    worker = system.worker()
    w = system.client.workloads.submit("spin", {"seconds": LEASE + 2}).workload_id
    done = system.client.workloads.wait_for_completion(w, timeout=60)
    assert done.result() == "done" and done.generation == 1
    assert worker.said().count("registered as") == 1


def test_handler_failures(system: System) -> None:
    system.worker()
    w = system.client.workloads
    hopeless, bad = w.submit("fail", {"kind": "permanent"}), w.submit("count", {"to": "many"})
    again = w.submit("fail", {})
    crash = w.submit("fail", {"kind": "crash"}, max_retries=0)
    failed = w.wait_for_completion(hopeless.workload_id, timeout=30)
    assert (failed.error_type, failed.retry_count) == ("hopeless", 0)
    with pytest.raises(WorkloadFailed, match="it cannot work"):
        failed.result()
    wrong = w.wait_for_completion(bad.workload_id, timeout=30)
    assert wrong.error_type == "invalid_input" and "input_params.to" in (wrong.error_message or "")
    assert w.wait_for_completion(again.workload_id, timeout=30).result() == "attempt 1"
    crashed = w.wait_for_completion(crash.workload_id, timeout=30)
    assert crashed.error_type == "KeyError"
    lines = [x for x in w.logs(crash.workload_id) if x.level == "ERROR"]
    assert len(lines) == 1 and "Traceback" in lines[0].message and "fleet.py" in lines[0].message


def test_process_that_dies_is_told_as_that_of_a_program(system: System) -> None:
    system.worker()
    w = system.client.workloads
    expected = [
        ({"status": 3}, "exit_status", "exit status 3", 1), ({"status": 65}, "exit_status", "exit status 65", 0),
        ({"status": 0}, "exit_status", "exit status 0 without a result", 1),
        ({"signal": signal.SIGSEGV}, "signal", "killed by signal 11 (segmentation fault)", 1),
        ({"signal": signal.SIGKILL}, "signal", "killed by signal 9 (killed)", 1),
    ]
    backoff = RetryBackoff(initial_seconds=0.01, max_seconds=0.01)
    config = system.client.configs.create("crash-process", max_retries=1, retry_backoff=backoff)
    ids = [w.submit("crash-process", how).workload_id for how, *_ in expected]
    for id, (_, kind, message, retries) in zip(ids, expected):
        done = w.wait_for_completion(id, timeout=30)
        assert (done.error_type, done.error_message, done.retry_count) == (kind, message, retries)
    system.client.configs.delete(config.config_id)


def test_timeout_ends_a_run(system: System) -> None:
    system.worker()
    w = system.client.workloads
    ids = [w.submit(kind, {"to": 10_000}, timeout=1, max_retries=0).workload_id for kind in ("count", "process-count")]
    for id in ids:
        done = w.wait_for_completion(id, timeout=30)
        assert done.error_type == "timeout" and "timed out after 1 s" in (done.error_message or "")


def test_large_checkpoint_is_restored(system: System) -> None:
    system.worker()
    w = system.client.workloads
    size = 9 << 20
    done = w.wait_for_completion(w.submit("large", {"bytes": size}).workload_id, timeout=60)
    assert done.result() == size


def test_second_signal_skips_the_drain(system: System) -> None:
    worker = system.worker()
    w = system.client.workloads.submit("spin-process", {}).workload_id
    pid = system.detail(w, "pid")
    worker.signal(signal.SIGTERM)
    eventually("it drains", lambda: "draining" in worker.said())
    worker.signal(signal.SIGTERM)
    assert worker.wait(8) == 1
    assert "second signal" in worker.said()
    eventually("its process is gone", lambda: not alive(pid), 3)
    system.client.workloads.cancel(w)


def test_blocked_event_loop_does_not_keep_a_drain_from_ending(system: System) -> None:
    worker = system.worker(TEST_DRAIN_TIMEOUT="2")
    w = system.client.workloads.submit("spin", {"seconds": 600}).workload_id
    system.await_status(w, "RUNNING")
    worker.signal(signal.SIGTERM)
    assert worker.wait(25) == 1
    assert w in worker.said(), "it says which run does not stop"
    system.client.workloads.cancel(w)


def test_clients_watch_list_and_refuse(system: System) -> None:
    system.worker()

    async def follow() -> None:
        async with AsyncClient(system.url, system.key) as c:
            w = await c.workloads.submit("count", {"to": 3}, labels={"test": "async"})
            events = [e async for e in c.workloads.watch(w.workload_id)]
            assert events[-1].type == "completed" and events[-1].result_data["counted"] == 3
            assert [e.message for e in events if e.type == "log_line"] == ["begins at 0"]
            found = [x.workload_id async for x in c.workloads.list(labels={"test": "async"})]
            assert w.workload_id in found
            with pytest.raises(NotFound) as raised:
                await c.workloads.get("wl_none")
            assert raised.value.request_id

    asyncio.run(follow())
    w = system.client.workloads
    one = Submission(workload_type="noop", input_params={}, labels={"test": "batch"})
    made = w.submit_batch([one] * 120)
    ids = {r.workload_id for r in made}
    for id in ids:
        assert id is not None
        w.wait_for_completion(id, timeout=30)
    listed = [x.workload_id for x in w.list(labels={"test": "batch"})]
    assert ids <= set(listed) and len(listed) == len(set(listed)) >= 120, "over several pages"
    key = f"once-{os.urandom(4).hex()}"
    assert len({w.submit("noop", {}, idempotency_key=key).workload_id for _ in range(3)}) == 1
    config = system.client.configs.create("python-config", checkpoint_interval=60, timeout=100)
    assert system.client.configs.update(config.config_id, timeout=200).checkpoint_interval_sec == 60
    assert [c.timeout_seconds for c in system.client.configs.list() if c.config_id == config.config_id] == [200]
    system.client.configs.delete(config.config_id)
    waiting = w.submit("nobody-runs-this", {})
    assert "type_not_offered" in [r.code for r in w.placement(waiting.workload_id).reasons]
    assert w.cancel(waiting.workload_id, reason="a test").status == Status.CANCELLED
    with pytest.raises(InvalidState):
        w.cancel(waiting.workload_id)
    again = w.retry(waiting.workload_id)
    assert again.retry_of == waiting.workload_id
    w.cancel(again.workload_id)  # nobody would run it
    assert system.client.customer().usage.current_running_workloads >= 0


def test_thousands_of_no_ops_in_one_process_all_complete(system: System) -> None:
    one = Submission(workload_type="noop", input_params={})
    for _ in range(3):
        assert all(r.workload_id for r in system.client.workloads.submit_batch([one] * 1000))
    system.worker(slots=1000)

    def done() -> bool:
        usage = system.client.customer().usage
        return usage.current_queue_depth + usage.current_running_workloads == 0

    eventually("all are done", done, 120)

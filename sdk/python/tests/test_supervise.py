"""The supervisor of a worker: what it ends, and whom it tells."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import niyanta
from conftest import LEASE, Process, System, alive, eventually

# A program that leaves descendants of every kind behind, as a worker with subprocesses may.
PROGRAM = """
import asyncio, os, subprocess, sys
from niyanta import Task, Worker

worker = Worker(sys.argv[1], "key", worker_id="w1")

@worker.workload("none")
async def none(task: Task[None, None]) -> None: ...

for script in ("exec sleep 300", "setsid sleep 300 & wait", "(setsid sh -c 'sleep 300 & exec sleep 300' &)",
               "trap '' TERM HUP INT; setsid sleep 300"):
    subprocess.Popen(["sh", "-c", script])
open(sys.argv[2], "w").write(str(os.getpid()))
worker.main()
"""


class Ends(http.server.ThreadingHTTPServer):
    """A coordinator that notes the requests it gets, and when."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.registered: list[dict[str, Any]] = []
        self.ended: list[dict[str, Any]] = []
        self.alive: list[list[int]] = []
        self.session = ""
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Ends

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer: dict[str, Any] = {}
        if self.path.endswith("/register"):
            self.server.registered.append(message)
            answer = {"lease_ms": 10_000, "heartbeat_interval_ms": 2500}
        elif self.path.endswith("/heartbeat"):
            answer = {"lease_ms": 10_000}
        elif self.path.endswith("/poll"):
            time.sleep(0.2)
        elif self.path.endswith("/end"):
            self.server.alive.append(marked(self.server.session))
            self.server.ended.append(message)
        body = json.dumps(answer).encode()
        try:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            pass

    def log_message(self, format: str, *args: Any) -> None: ...


def marked(mark: str) -> list[int]:
    """Returns the processes whose environment has the mark, without the supervisor."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"TEST_MARK={mark}\0".encode() in (entry / "environ").read_bytes() and (
                b"niyanta.supervise" not in (entry / "cmdline").read_bytes() and alive(int(entry.name))
            ):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[tuple[Ends, Process, int]]:
    """A coordinator, a supervisor, and the process id of its worker."""
    server = Ends()
    server.session = f"mark-{os.getpid()}-{tmp_path.name}"
    program, told = tmp_path / "program.py", tmp_path / "told"
    program.write_text(PROGRAM)
    env = {"PYTHONPATH": str(Path(niyanta.__file__).parents[1]), "TEST_MARK": server.session}
    process = Process(
        [sys.executable, "-m", "niyanta.supervise", str(program), server.url, str(told)], env, tmp_path / "log"
    )
    eventually("the worker registers", lambda: server.registered)
    yield server, process, int(told.read_text())
    process.end()
    for pid in marked(server.session):
        os.kill(pid, signal.SIGKILL)
    server.shutdown()


@pytest.mark.smoke
def test_worker_that_is_killed_is_certified_when_nothing_of_it_is_left(supervised: tuple[Ends, Process, int]) -> None:
    server, process, worker = supervised
    assert len(marked(server.session)) >= 6
    os.kill(worker, signal.SIGKILL)
    assert process.wait(60) == 128 + signal.SIGKILL
    (end,) = server.ended
    registration = server.registered[0]
    assert end["process_id"] == registration["process_id"]
    assert hashlib.sha256(end["secret"].encode()).hexdigest() == registration["certificate_digest"]
    assert server.alive == [[]], "it is told when no descendant is left"


def test_signal_reaches_the_worker_and_its_status_comes_back(supervised: tuple[Ends, Process, int]) -> None:
    server, process, worker = supervised
    process.signal(signal.SIGTERM)
    assert process.wait(60) == 0, process.said()
    assert [sorted(e) for e in server.ended] == [["session_id", "worker_id"], ["process_id", "secret"]], "it left first"
    assert not marked(server.session)


def test_supervisor_that_dies_lets_the_worker_drain(supervised: tuple[Ends, Process, int]) -> None:
    server, process, worker = supervised
    process.signal(signal.SIGKILL)
    eventually("the worker leaves", lambda: server.ended and not alive(worker))
    assert sorted(server.ended[0]) == ["session_id", "worker_id"]


def test_program_that_runs_no_worker_ends_as_it_would(tmp_path: Path) -> None:
    process = Process(
        [sys.executable, "-m", "niyanta.supervise", "-c", "import sys; sys.exit(7)"],
        {"PYTHONPATH": str(Path(niyanta.__file__).parents[1])}, tmp_path / "log",
    )
    assert process.wait(60) == 7
    assert "not certified" not in process.said()


@pytest.mark.parametrize("kind", ["count", "process-count"])
def test_work_of_a_supervised_worker_that_is_killed_moves_before_its_lease_ends(system: System, kind: str) -> None:
    workers = {w.name: w for w in (system.worker(supervised=True), system.worker(supervised=True))}
    w = system.client.workloads.submit(kind, {"to": 300}).workload_id
    system.await_checkpoint(w, 3)
    pid = system.detail(w, "pid")
    victim = workers[system.get(w).worker_id or ""]
    children = Path(f"/proc/{victim.pid}/task/{victim.pid}/children").read_text().split()
    began = time.monotonic()
    os.kill(int(children[0]), signal.SIGKILL)
    eventually("it runs elsewhere", lambda: (x := system.get(w)).generation == 2 and x.status == "RUNNING", 10)
    assert time.monotonic() - began < LEASE - 1
    assert not alive(pid) and victim.wait(10) == 128 + signal.SIGKILL
    system.client.workloads.cancel(w)

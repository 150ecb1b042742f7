"""Real coordinators and workers for the end-to-end tests."""

from __future__ import annotations

import glob
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import niyanta
from niyanta import Client, Workload

TESTS = Path(__file__).parent
EXAMPLES = TESTS.parents[2] / "examples"
# Shorter than the defaults, so that tests need not wait long; not so short that a busy machine
# loses a lease.
INTERVAL, LEASE = 0.5, 6.0


def binary() -> str:
    """Returns the program under test. There is no way around it: without one the tests fail."""
    path = os.environ.get("NIYANTA_TEST_BINARY", "")
    assert path and os.access(path, os.X_OK), "set NIYANTA_TEST_BINARY to the niyanta program: see `make python`"
    return path


def go_worker() -> str:
    """Returns the worker of examples/count in Go."""
    path = os.environ.get("NIYANTA_TEST_GO_WORKER", "")
    assert path and os.access(path, os.X_OK), "set NIYANTA_TEST_GO_WORKER to examples/count/worker: see `make python`"
    return path


def free_port() -> int:
    """Returns a port on which nobody listens right now. The kernel gives it to no connection."""
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Process:
    """A process whose output goes to a file."""

    def __init__(self, args: list[str], env: dict[str, str], output: Path, **more: Any) -> None:
        self.output, self.name = output, output.stem
        with output.open("ab") as out:
            self._process = subprocess.Popen(
                args, env={**os.environ, **env}, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **more
            )
        self.pid = self._process.pid

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self, seconds: float = 30) -> int:
        return self._process.wait(seconds)

    def poll(self) -> int | None:
        return self._process.poll()

    def end(self) -> None:
        """Ends the process, whatever state it is in."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait(10)


def eventually(what: str, done: Callable[[], Any], seconds: float = 30) -> Any:
    """Returns what done returns once that is true."""
    until = time.monotonic() + seconds
    while True:
        if value := done():
            return value
        assert time.monotonic() < until, f"not within {seconds:g} s: {what}"
        time.sleep(0.03)


class Postgres:
    """A PostgreSQL cluster of its own."""

    def __init__(self, folder: Path) -> None:
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb")) or [shutil.which("initdb") or ""]
        assert found[-1], "PostgreSQL is missing: see scripts/ensure-deps"
        tools = Path(found[-1]).parent
        user: dict[str, Any] = {}
        if os.getuid() == 0:  # which PostgreSQL refuses
            account = pwd.getpwnam("nobody")
            os.chown(folder, account.pw_uid, account.pw_gid)
            folder.chmod(0o755)
            user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        data, port = folder / "data", free_port()
        subprocess.run(
            [tools / "initdb", "-D", data, "-U", "niyanta", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
            check=True, stdout=subprocess.DEVNULL, cwd=folder, **user,
        )
        args = [str(tools / "postgres"), "-D", str(data), "-p", str(port), "-k", "", "-c", "fsync=off",
                "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=60"]
        log = folder.parent / f"{folder.name}.log"
        self.process = Process(args, {}, log, cwd=folder, **user)
        eventually("PostgreSQL serves", lambda: "ready to accept connections" in self.process.said(), 60)
        self.url = f"postgres://niyanta@127.0.0.1:{port}/postgres?sslmode=disable"

    def end(self) -> None:
        self.process.signal(signal.SIGQUIT)
        self.process.wait(30)


class System:
    """A coordinator, its customer and its workers."""

    def __init__(
        self, store: str, folder: Path, postgres: Postgres | None, interval: float = INTERVAL, lease: float = LEASE
    ) -> None:
        self.store, self.folder = store, folder
        self.url = f"http://127.0.0.1:{free_port()}"
        self.worker_key, admin = secrets.token_hex(20), secrets.token_hex(20)
        env = {
            "NIYANTA_HTTP_ADDR": self.url.removeprefix("http://"), "NIYANTA_LOG_LEVEL": "info",
            "NIYANTA_HEARTBEAT_INTERVAL": f"{interval}s", "NIYANTA_WORKER_LEASE": f"{lease}s",
            "XDG_STATE_HOME": str(folder), "NIYANTA_WORKER_KEY": self.worker_key, "NIYANTA_ADMIN_KEY": admin,
        }
        if postgres is not None:
            env |= {"NIYANTA_STORE": "postgres", "NIYANTA_POSTGRES_URL": postgres.url}
        self.coordinator = Process([binary(), "server"], env, folder / "coordinator.log")
        eventually("the coordinator serves", self._ready, 60)
        self._admin = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {admin}"}, timeout=30)
        limits = {"max_concurrent_workloads": 2000, "max_queue_depth": 100_000, "rate_limit_per_sec": 50_000,
                  "burst": 50_000}
        made = self._admin.post("/v1/admin/customers", json={"name": "python", "tier": "premium", "limits": limits})
        assert made.status_code == 201, made.text
        key = self._admin.post(f"/v1/admin/customers/{made.json()['customer_id']}/keys", json={"role": "customer"})
        self.key = key.json()["key"]
        self.client = Client(self.url, self.key)
        self._workers: dict[str, Process] = {}
        self._number = 0

    def _ready(self) -> bool:
        assert self.coordinator.poll() is None, self.coordinator.said()
        try:
            return httpx.get(f"{self.url}/ready").status_code == 200
        except httpx.HTTPError:
            return False

    def worker(self, slots: int = 5, supervised: bool = False, **env: str) -> Process:
        """Starts a worker and waits until it has registered."""
        supervisor = ["-m", "niyanta.supervise"] if supervised else []
        command = [sys.executable, *supervisor, str(TESTS / "fleet.py")]
        return self.start_worker("w", command, NIYANTA_WORKER_SLOTS=str(slots), **env)

    def start_worker(self, kind: str, command: list[str], **env: str) -> Process:
        """Starts a worker of any kind and waits until it has registered. Its name begins with the kind."""
        self._number += 1
        name = f"{kind}{self._number}"
        process = Process(
            command,
            {
                "NIYANTA_COORDINATOR_URL": self.url, "NIYANTA_WORKER_KEY": self.worker_key, "NIYANTA_WORKER_ID": name,
                "NIYANTA_WORKER_HTTP_ADDR": "", "PYTHONPATH": str(Path(niyanta.__file__).parents[1]), **env,
            },
            self.folder / f"{name}.log",
        )
        self._workers[name] = process

        def registered() -> bool:
            assert process.poll() is None, process.said()
            return self._admin.get(f"/v1/admin/workers/{name}").status_code == 200

        eventually(f"{name} registers", registered, 60)
        return process

    def end_workers(self) -> None:
        for name, worker in self._workers.items():
            worker.end()
            self._admin.delete(f"/v1/admin/workers/{name}")  # nothing is placed with it any more
        self._workers.clear()

    def end(self) -> None:
        self.end_workers()
        self.client.close()
        self.coordinator.end()

    def get(self, workload_id: str) -> Workload:
        return self.client.workloads.get(workload_id)

    def await_status(self, workload_id: str, status: str, seconds: float = 30) -> Workload:
        def reached() -> Workload | None:
            w = self.get(workload_id)
            assert w.status == status or not w.is_final, repr(w)
            return w if w.status == status else None

        found: Workload = eventually(f"{workload_id} is {status}", reached, seconds)
        return found

    def await_checkpoint(self, workload_id: str, sequence: int) -> Workload:
        def reached() -> Workload | None:
            w = self.get(workload_id)
            return w if w.checkpoint_sequence >= sequence else None

        found: Workload = eventually(f"checkpoint {sequence} of {workload_id}", reached)
        return found

    def detail(self, workload_id: str, name: str) -> Any:
        """Returns what the newest line of its log says of name."""
        def found() -> Any:
            lines = [x.details[name] for x in self.client.workloads.logs(workload_id) if name in x.details]
            return lines[-1] if lines else None

        return eventually(f"{name} in the log of {workload_id}", found)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="niyanta-python-pg-"))
    p = Postgres(folder)
    yield p
    p.end()
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_name(f"{folder.name}.log").unlink(missing_ok=True)


@pytest.fixture(scope="session", params=["memory", "postgres"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    store = request.param
    db = request.getfixturevalue("postgres") if store == "postgres" else None
    system = System(store, tmp_path_factory.mktemp(store), db)
    yield system
    system.end()


@pytest.fixture
def system(running: System) -> Iterator[System]:
    """A coordinator on each store, whose workers end with the test."""
    yield running
    running.end_workers()


def alive(pid: int) -> bool:
    """Reports whether a process runs. A zombie does not."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False

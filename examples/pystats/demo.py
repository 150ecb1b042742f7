"""Shows the main job in Python: a coordinator and two workers, as processes; a workload that counts
the source of Python's own library; the busy worker is killed half way; the other one continues from
the last checkpoint; the result must equal one that was counted in another way, without Niyanta."""

from __future__ import annotations

import argparse
import ast
import os
import secrets
import subprocess
import sys
import sysconfig
import tempfile
import time
import tokenize
from collections import Counter
from pathlib import Path

import httpx

from niyanta import Client, Workload

HERE = Path(__file__).parent
# How long the show may take.
TIMEOUT = 180.0


class Fleet:
    """A coordinator and its workers, as processes whose logs go to a folder."""

    def __init__(self, program: Path, logs: Path) -> None:
        self._logs = logs
        self.workers: dict[str, subprocess.Popen[str]] = {}
        admin, self._worker_key = secrets.token_hex(20), secrets.token_hex(20)
        self._coordinator = self._start(
            "coordinator", [str(program), "coordinator"],
            # A shorter lease than the default, so that nobody waits for the show; the rules are the same.
            NIYANTA_HTTP_ADDR="127.0.0.1:0", NIYANTA_HEARTBEAT_INTERVAL="1s", NIYANTA_WORKER_LEASE="4s",
            NIYANTA_ADMIN_KEY=admin, NIYANTA_WORKER_KEY=self._worker_key,
        )
        assert self._coordinator.stdout is not None
        line = self._coordinator.stdout.readline()
        if not line.startswith("url: "):
            self.end()
            raise SystemExit(f"the coordinator did not start: {(logs / 'coordinator.log').read_text()}")
        self.url = line.removeprefix("url: ").strip()
        print(f"coordinator and console at {self.url}")
        with httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {admin}"}) as http:
            customer = http.post("/v1/admin/customers", json={"name": "Demo", "tier": "premium"}).json()
            keys = f"/v1/admin/customers/{customer['customer_id']}/keys"
            self.key: str = http.post(keys, json={"role": "customer"}).json()["key"]

    def _start(self, name: str, command: list[str], **env: str) -> subprocess.Popen[str]:
        with (self._logs / f"{name}.log").open("w") as log:
            return subprocess.Popen(command, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=log, text=True)

    def start_workers(self) -> None:
        for name in ("worker-a", "worker-b"):
            self.workers[name] = process = self._start(
                name, [sys.executable, str(HERE / "worker.py")], NIYANTA_COORDINATOR_URL=self.url,
                NIYANTA_WORKER_KEY=self._worker_key, NIYANTA_WORKER_ID=name,
            )
            print(f"{name} starts, pid {process.pid}")

    def kill(self, name: str) -> None:
        process = self.workers.pop(name)
        process.kill()
        process.wait()

    def end(self) -> None:
        for process in (*self.workers.values(), self._coordinator):
            process.terminate()
        for process in (*self.workers.values(), self._coordinator):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def show(w: Workload) -> None:
    done = int(w.progress_percent / 5)
    print(f"  [{'#' * done}{'.' * (20 - done)}] {w.progress_percent:3.0f}%  {w.status:<14} generation {w.generation}  "
          f"{w.worker_id or '-':<9} {w.progress_message or ''}")


def run(fleet: Fleet, root: str) -> None:
    with Client(fleet.url, fleet.key) as client:
        workloads = client.workloads
        id = workloads.submit("pystats", {"root": root}).workload_id
        print(f"submitted {id}: count lines, functions, classes and imports below {root}")
        fleet.start_workers()
        until, shown, killed_at, resumed = time.monotonic() + TIMEOUT, ("", -10.0), 0.0, False
        while not (w := workloads.get(id)).is_final:
            if time.monotonic() > until:
                raise SystemExit(f"it is {w.status} after {TIMEOUT:g} s")
            if w.status != shown[0] or w.progress_percent >= shown[1] + 10:
                shown = (w.status, w.progress_percent)
                show(w)
            if not killed_at and w.progress_percent >= 45 and w.worker_id:
                print(f"SIGKILL to {w.worker_id} at {w.progress_percent:.0f}%, checkpoint {w.checkpoint_sequence}")
                fleet.kill(w.worker_id)
                killed_at = time.monotonic()
            elif not resumed and w.status == "RUNNING" and w.generation > 1:
                took, resumed = time.monotonic() - killed_at, True
                print(f"running again after {took:.1f} s, elsewhere, at generation {w.generation}")
            time.sleep(0.05)
        show(w)
        if not killed_at:
            raise SystemExit(f"it was {w.status} before it could be interrupted")
        out = w.result()
        print("audit:")
        for e in workloads.audit(id):
            if e.event_type not in ("workload.progress_updated", "workload.checkpoint_created"):
                at = e.timestamp.astimezone().strftime("%H:%M:%S.%f")[:-3]
                print(f"  {at}  {e.event_type:<24} generation {e.details['generation']}  {e.details.get('reason') or ''}")
        if not out["resumed_at"]:
            raise SystemExit("the second run began at the first file, not at a checkpoint")
        print(f"resumed at file {out['resumed_at']}")
        compare(out["folders"], count_by_tokens(Path(root)))


def count_by_tokens(root: Path) -> dict[str, Counter[str]]:
    """Counts what the workload counts, by keywords instead of syntax trees."""
    words = {"def": "functions", "class": "classes", "import": "imports"}
    folders: dict[str, Counter[str]] = {}
    for file in root.rglob("*.py"):
        counts = folders.setdefault(str(file.parent.relative_to(root)), Counter())
        counts["files"] += 1
        with file.open("rb") as f:
            counts["lines"] += sum(line.endswith(b"\n") for line in f)
        try:
            compile(file.read_bytes(), str(file), "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
        except (SyntaxError, ValueError):
            counts["broken"] += 1
            continue
        with file.open("rb") as f:
            counts.update(words[t.string] for t in tokenize.tokenize(f.readline)
                          if t.type == tokenize.NAME and t.string in words)
    return folders


def compare(got: dict[str, dict[str, int]], want: dict[str, Counter[str]]) -> None:
    if {k: +Counter(v) for k, v in got.items()} != want:
        raise SystemExit(f"the results differ: with Niyanta {got}, without {want}")
    total: Counter[str] = sum(want.values(), Counter())
    print(f"{len(want)} folders, {total['files']} files, {total['lines']} lines, {total['functions']} functions, "
          f"{total['classes']} classes, {total['imports']} imports: equal to the count made without Niyanta")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("-program", type=Path, default=Path("bin/niyanta"), help="the niyanta program")
    arguments.add_argument("-root", default=sysconfig.get_path("stdlib"), help="the tree to count")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="niyanta-demo-") as logs:
        fleet = Fleet(given.program.absolute(), Path(logs))
        try:
            run(fleet, given.root)
        finally:
            fleet.end()


if __name__ == "__main__":
    main()

"""Handlers that run in processes of their own. Those import this module."""

from __future__ import annotations

import concurrent.futures
import mmap
import multiprocessing
import os
import struct
import subprocess
import sys
import time
from typing import Any

from niyanta import SyncTask

MB = 1 << 20
# Takes memory and keeps it.
_TAKER = "import sys, time; b = bytearray(int(sys.argv[1])); b[::4096] = b'x' * len(b[::4096]); time.sleep(60)"


def take(task: SyncTask[dict[str, Any], None]) -> str:
    """Takes as many MB as its input says, in this process or another, bit by bit or at once, or shared."""
    mb = task.input["mb"]
    if how := task.input.get("shared"):
        file = os.memfd_create("shared") if how == "file" else -1
        mapped = mmap.mmap(-1, mb * MB) if how == "mapped" else None
        for at in range(mb):
            if mapped is not None:
                mapped[at * MB : (at + 1) * MB] = b"x" * MB
            else:
                os.write(file, b"x" * MB)
        time.sleep(30)
    if task.input.get("child"):
        subprocess.run([sys.executable, "-c", _TAKER, str(mb * MB)])
    elif task.input.get("at_once"):
        return str(len(bytearray(mb * MB)))
    kept = []
    for _ in range(mb):
        kept.append(os.urandom(1) * MB)
        time.sleep(0.005)
    time.sleep(task.input.get("keep", 30))
    return "kept"


def offer_much(task: SyncTask[dict[str, Any], Any]) -> str:
    """Lets the platform save a state of as many MB as its input says."""
    asked = []

    def state() -> str:
        asked.append(1)
        return "x" * int(task.input["mb"] * MB)

    task.on_checkpoint(state)
    while len(asked) < 2:
        task.sleep(0.01)
    return "offered"


def spin(task: SyncTask[dict[str, Any], None]) -> None:
    """Computes for ever."""
    while True:
        sum(range(1_000_000))


def forge(task: SyncTask[dict[str, Any], None]) -> None:
    """Writes to the worker's socket itself."""
    link: Any = task._link
    match task.input["what"]:
        case "result":
            forged = '1},{"report_id":"f","workload_id":"wl_2","generation":1,"event":"complete","result":7'
            link._send({"kind": "ended", "ended": {"result": forged}})
        case "length":
            link._channel.sendall(struct.pack(">I", 0xFFFFFFFF) + b"x" * 1000)
        case "no-json":
            link._channel.sendall(struct.pack(">I", 3) + b"{{{")
        case "kind":
            link._send({"kind": ["dance"]})
        case "types":
            link._send({"kind": "report", "percent": [], "message": {}})
        case "ended":
            link._send({"kind": "ended", "ended": {"result": None, "error_type": 7, "message": []}})
        case "used":
            link._send({"kind": "ended", "ended": {"result": "1", "used": {"cpu_ms": 10**12}}})
    time.sleep(30)


def save_when_told(task: SyncTask[dict[str, Any], int]) -> None:
    """Saves once it is told to stop."""
    task.log("waits", waits=True)
    while task.stop_cause is None:
        time.sleep(0.01)
    task.checkpoint(7)


def use_processes(task: SyncTask[dict[str, Any], None]) -> Any:
    """Computes in processes of its own, and ends one that does not end."""
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        found = pool.submit(len, "1").result()
    sleeper = multiprocessing.Process(target=time.sleep, args=(600,))
    sleeper.start()
    sleeper.terminate()
    sleeper.join(20)
    left = multiprocessing.Process(target=time.sleep, args=(600,))
    left.start()
    return [found, sleeper.exitcode, left.pid]

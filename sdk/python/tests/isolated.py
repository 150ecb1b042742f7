"""Handlers that run in processes of their own. Those import this module."""

from __future__ import annotations

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
    """Takes as many MB as its input says, in this process or in another one, bit by bit or at once."""
    mb = task.input["mb"]
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

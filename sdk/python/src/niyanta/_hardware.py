"""What a worker has: processors, memory, disk and GPUs. The operator's word goes before what the
machine says."""

from __future__ import annotations

import logging
import math
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from .resources import Device, WorkerResources

log = logging.getLogger("niyanta.worker")
T = TypeVar("T")

CPU, MEMORY, DISK = "NIYANTA_WORKER_CPU", "NIYANTA_WORKER_MEMORY_MB", "NIYANTA_WORKER_DISK_MB"
DEVICES, CUSTOM = "NIYANTA_WORKER_DEVICES", "NIYANTA_WORKER_RESOURCES"
# nvidia-smi takes seconds where the driver is not kept loaded.
_SMI_TIMEOUT = 20.0
_DISK_LIMIT = 1 << 30
_WHOLE = re.compile(r"[+-]?[0-9]+\Z")


def offer(environment: Mapping[str, str]) -> WorkerResources:
    """Returns what the variables say, and what the machine has where they say nothing.

    Raises ValueError, which names the variable, for what cannot be read.
    """
    def stated(variable: str, parse: Callable[[str], T], detect: Callable[[], T]) -> T:
        if not (text := environment.get(variable, "")):
            return detect()
        try:
            return parse(text)
        except ValueError as e:
            raise ValueError(f"{variable}: {e}") from None

    found = WorkerResources(
        cpu_cores=stated(CPU, parse_cpu, lambda: processors(Path("/"))),
        memory_mb=stated(MEMORY, parse_mb, lambda: memory_mb(Path("/"))),
        disk_mb=stated(DISK, parse_mb, _free_disk_mb),
        devices=stated(DEVICES, parse_devices, _gpus),
        custom=stated(CUSTOM, parse_custom, dict[str, int]),
    )
    found.validate()
    return found


def parse_cpu(text: str) -> float:
    """Parses a number of cores."""
    try:
        cores = float(text)
    except ValueError:
        cores = -1
    if not 0 <= cores < math.inf:
        raise ValueError(f'must be a number of cores, not "{text}"')
    WorkerResources(cpu_cores=cores).validate()
    return cores


def parse_mb(text: str) -> int:
    """Parses a number of MiB."""
    if not _WHOLE.match(text) or int(text) < 0:
        raise ValueError(f'must be a number of MiB, not "{text}"')
    WorkerResources(memory_mb=int(text)).validate()
    return int(text)


def parse_devices(text: str) -> list[Device]:
    """Parses MODEL:COUNT, or MODEL@ID for one device, separated by commas; none: no device. Devices
    without an id are numbered from 0."""
    out: list[Device] = []
    if text == "none":
        return out
    for entry in (e.strip() for e in text.split(",")):
        if "@" in entry:
            model, id = entry.split("@", 1)
            out.append(Device(id.strip(), model.strip()))
            continue
        model, colon, count = entry.rpartition(":")
        if not colon or not model or not _WHOLE.match(count.strip()) or not 1 <= int(count) <= 64:
            raise ValueError(f'must look like A10:2,H100@GPU-6f1c…, or be none, not "{text}"')
        out += [Device(str(len(out) + i), model.strip()) for i in range(int(count))]
    WorkerResources(devices=out).validate()
    return out


def parse_custom(text: str) -> dict[str, int]:
    """Parses NAME=AMOUNT, separated by commas."""
    out: dict[str, int] = {}
    for pair in text.split(","):
        name, _, amount = pair.partition("=")
        if not _WHOLE.match(amount.strip()):
            raise ValueError(f'must look like licence=3,fpga=1, not "{text}"')
        out[name.strip()] = int(amount)
    WorkerResources(custom=out).validate()
    return out


def processors(root: Path) -> int:
    """Returns the processors that this process may use. The quota of a container counts, rounded up,
    but never below 2."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = (root / "sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            found = min(found, max(math.ceil(int(quota) / int(period)), 2))
    except (OSError, ValueError):
        pass  # there is no quota
    return found


def memory_mb(root: Path) -> int:
    """Returns the memory that this process may use; 0: that is not known."""
    kb = 0
    try:
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemTotal:"):
                kb = int(line.split()[1])
        kb = min(kb, int((root / "sys/fs/cgroup/memory.max").read_text()) >> 10)
    except (OSError, ValueError):
        pass  # another system, or no limit
    return kb >> 10


def _free_disk_mb() -> int:
    try:
        return min(shutil.disk_usage(tempfile.gettempdir()).free >> 20, _DISK_LIMIT)
    except OSError:
        return 0


def _gpus() -> list[Device]:
    try:
        return gpus()
    except (OSError, ValueError, subprocess.SubprocessError) as e:
        log.warning("the GPUs of this machine could not be read; state them with %s: %s", DEVICES, e)
        return []


def gpus() -> list[Device]:
    """Returns the GPUs of the machine, as nvidia-smi lists them, or else as the driver does."""
    smi = shutil.which("nvidia-smi")
    if smi is None:
        return driver_gpus(Path("/proc/driver/nvidia/gpus"))
    out = subprocess.run(
        [smi, "--query-gpu=uuid,memory.total,mig.mode.current,name", "--format=csv,noheader,nounits"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=_SMI_TIMEOUT, check=True, text=True,
    )
    return parse_smi(out.stdout)


def parse_smi(text: str) -> list[Device]:
    """Parses the answer of nvidia-smi. A GPU that is split into instances (MIG) is left out: it cannot
    be used as a whole."""
    out = []
    for line in filter(None, (x.strip() for x in text.splitlines())):
        fields = [f.strip() for f in line.split(",", 3)]
        if len(fields) != 4:
            raise ValueError(f'nvidia-smi: unexpected line "{line}"')
        id, memory, mig, name = fields
        if mig != "Enabled":
            # "[N/A]" on devices that share the memory of the machine.
            out.append(Device(id, _model(name), int(memory) if memory.isdigit() else 0))
    return out


def driver_gpus(folder: Path) -> list[Device]:
    """Reads what the driver says of each GPU in a file of the folder."""
    out = []
    for file in sorted(folder.glob("*/information")):
        says = {k.strip(): v.strip() for k, _, v in (x.partition(":") for x in file.read_text().splitlines())}
        if says.get("GPU UUID"):
            out.append(Device(says["GPU UUID"], _model(says.get("Model", ""))))
    return out


def _model(name: str) -> str:
    """Returns the model of a device without the names of the maker."""
    for maker in ("NVIDIA ", "Tesla ", "GeForce "):
        name = name.strip().removeprefix(maker)
    return name.strip()

"""What workers have, and what runs hold of it."""

from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import System, eventually
from niyanta import Device, DeviceShare, Reservation, SyncTask, Task, Worker, WorkerResources, _hardware
from niyanta._hardware import parse_cpu, parse_custom, parse_devices, parse_mb, parse_smi
from niyanta._holding import Holding
from test_worker import Coordinator, Fixture, error


def test_devices_are_read() -> None:
    assert parse_devices("A10:2, H100 80GB HBM3@GPU-6f1c,T4:1") == [
        Device("0", "A10"), Device("1", "A10"), Device("GPU-6f1c", "H100 80GB HBM3"), Device("3", "T4"),
    ]
    assert parse_devices("none") == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [(text, "must look like A10:2,H100@GPU-6f1c…, or be none, not")
     for text in ("A10", ":2", "A10:0", "A10:-1", "A10:65", "A10:x", "A10:1,", "A10:1_0")]
    + [("A@x,B@x", 'resources.devices.id: "x" must be stated once'),
       ("A@", "resources.devices.id: must be 1 to 63 characters"),
       ("A:64,B:1", "resources.devices: must have at most 64 entries")],
)
def test_devices_that_cannot_be_read_are_refused(text: str, wrong: str) -> None:
    with pytest.raises(ValueError) as raised:
        parse_devices(text)
    assert wrong in str(raised.value)


def test_custom_resources_are_read() -> None:
    assert parse_custom("licence=3, fpga = 1") == {"licence": 3, "fpga": 1}
    for bad in ("licence", "licence=", "licence=x", "=3", "licence=-1", "licence=1.5"):
        with pytest.raises(ValueError):
            parse_custom(bad)


def test_answer_of_nvidia_smi_is_read() -> None:
    assert parse_smi(
        "GPU-1, 23028, [N/A], NVIDIA A10\nGPU-2, 81559, Disabled, NVIDIA H100 80GB HBM3\n"
        "GPU-3, 40960, Enabled, NVIDIA A100-SXM4-40GB\nGPU-4, [N/A], [N/A], Tesla T4\n"
    ) == [Device("GPU-1", "A10", 23028), Device("GPU-2", "H100 80GB HBM3", 81559), Device("GPU-4", "T4")]
    assert parse_smi("\n") == []
    with pytest.raises(ValueError, match="unexpected line"):
        parse_smi("Failed to initialize NVML: Driver/library version mismatch\n")


def test_gpus_are_asked_of_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    smi.write_text("#!/bin/sh\necho GPU-1, 23028, [N/A], NVIDIA A10\n")
    smi.chmod(0o700)
    assert _hardware.offer({}).devices == [Device("GPU-1", "A10", 23028)]
    assert _hardware.offer({"NIYANTA_WORKER_DEVICES": "none"}).devices == []


def test_gpus_that_cannot_be_read_are_left_out_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
    (tmp_path / "nvidia-smi").chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with caplog.at_level(logging.WARNING, "niyanta.worker"):
        assert _hardware.offer({}).devices == []
    assert "state them with NIYANTA_WORKER_DEVICES" in caplog.text


def test_gpus_are_read_from_the_driver(tmp_path: Path) -> None:
    for name, text in {
        "0000:01:00.0": "Model: \t\t NVIDIA A10\nIRQ:   \t\t 60\nGPU UUID: \t GPU-1\n",
        "0000:02:00.0": "Model: \t\t Tesla T4\nGPU UUID: \t GPU-2\n", "0000:03:00.0": "Model: broken\n",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "information").write_text(text)
    assert _hardware.driver_gpus(tmp_path) == [Device("GPU-1", "A10"), Device("GPU-2", "T4")]
    assert _hardware.driver_gpus(tmp_path / "missing") == []


def test_memory_and_processors_are_those_of_the_container(tmp_path: Path) -> None:
    def write(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    assert _hardware.memory_mb(tmp_path) == 0
    write("proc/meminfo", "MemTotal:        8388608 kB\nMemFree: 1 kB\n")
    assert _hardware.memory_mb(tmp_path) == 8192
    write("sys/fs/cgroup/memory.max", "max\n")
    assert _hardware.memory_mb(tmp_path) == 8192
    write("sys/fs/cgroup/memory.max", "1073741824\n")
    assert _hardware.memory_mb(tmp_path) == 1024
    all = _hardware.processors(tmp_path)
    assert all >= 1
    write("sys/fs/cgroup/cpu.max", "max 100000\n")
    assert _hardware.processors(tmp_path) == all
    write("sys/fs/cgroup/cpu.max", "50000 100000\n")
    assert _hardware.processors(tmp_path) == min(all, 2)


def test_offer_takes_the_operators_word() -> None:
    assert _hardware.offer({
        "NIYANTA_WORKER_CPU": "2.5", "NIYANTA_WORKER_MEMORY_MB": "100", "NIYANTA_WORKER_DISK_MB": "0",
        "NIYANTA_WORKER_DEVICES": "A10:1", "NIYANTA_WORKER_RESOURCES": "licence=3",
    }) == WorkerResources(
        cpu_cores=2.5, memory_mb=100, disk_mb=0, devices=[Device("0", "A10")], custom={"licence": 3}
    )
    found = _hardware.offer({})
    assert found.cpu_cores >= 1 and found.memory_mb > 0 and found.disk_mb > 0


@pytest.mark.parametrize(
    ("variable", "text"),
    [("NIYANTA_WORKER_CPU", "x"), ("NIYANTA_WORKER_CPU", "nan"), ("NIYANTA_WORKER_CPU", "2000"),
     ("NIYANTA_WORKER_MEMORY_MB", "-1"), ("NIYANTA_WORKER_DISK_MB", "1.5"), ("NIYANTA_WORKER_DEVICES", "A10"),
     ("NIYANTA_WORKER_RESOURCES", "x")],
)
def test_offer_that_cannot_be_read_names_the_variable(variable: str, text: str) -> None:
    with pytest.raises(ValueError, match=variable):
        _hardware.offer({variable: text})


def test_numbers_are_read() -> None:
    assert (parse_cpu("7.5"), parse_mb("0")) == (7.5, 0)


def test_worker_whose_resources_no_coordinator_takes_is_refused() -> None:
    with pytest.raises(ValueError, match="resources.devices.id"):
        Worker("http://a", "key", resources=WorkerResources(devices=[Device(" ")]))


def test_holding_never_gives_what_is_not_free() -> None:
    h = Holding(WorkerResources(
        cpu_cores=1, devices=[Device("a", "A10"), Device("b", "T4")], custom={"licence": 2}
    ))
    half, whole = [DeviceShare("a", 0.5)], [DeviceShare("a", 1)]
    assert h.allows(Reservation(), []) and h.allows(Reservation(memory_mb=1 << 20), [])
    assert h.allows(Reservation(gpus=0.5), half) and h.allows(Reservation(gpus=1), whole)
    assert h.allows(Reservation(gpus=2), [*whole, DeviceShare("b", 1)])
    refused: list[tuple[Reservation, list[DeviceShare]]] = [
        (Reservation(gpus=0.5), []), (Reservation(), half), (Reservation(gpus=1), half),
        (Reservation(gpus=2), whole * 2), (Reservation(gpus=1), [DeviceShare("c", 1)]),
        (Reservation(gpus=1, gpu_models=["T4"]), whole), (Reservation(custom={"licence": 3}), []),
        (Reservation(custom={"fpga": 1}), []), (Reservation(cpu_cores=1.001), []),
    ]
    for wrong, devices in refused:
        assert not h.allows(wrong, devices), (wrong, devices)
    held = Reservation(cpu_cores=0.7, gpus=0.6, custom={"licence": 1})
    h.take(held, [DeviceShare("a", 0.6)])
    assert h.allows(Reservation(gpus=0.4), [DeviceShare("a", 0.4)]) and not h.allows(Reservation(gpus=0.5), half)
    assert not h.allows(Reservation(cpu_cores=0.4), []) and not h.allows(Reservation(custom={"licence": 2}), [])
    assert h.allows(Reservation(cpu_cores=0.3, custom={"licence": 1}), [])
    h.give_back(held, [DeviceShare("a", 0.6)])
    assert h.allows(Reservation(cpu_cores=1, gpus=1, custom={"licence": 2}), whole)


def test_registration_and_inventory_tell_what_the_worker_has_and_what_runs_hold() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("gate", resources={"gpus": 1}, devices=[{"id": "1", "share": 1}])
        await f.until("it runs", lambda: f.tasks)
        assert f.tasks["wl_1"].devices == [DeviceShare("1", 1)]
        await f.until("the inventory has it", lambda: f.c.beats and f.c.beat["inventory"])
        assert f.c.beat["inventory"][0]["devices"] == [{"id": "1", "share": 1}]

    f = Fixture(Coordinator(), resources=WorkerResources(
        cpu_cores=2.5, devices=[Device("0", "A10", 23028), Device("1")], custom={"licence": 2}
    ))
    f.run(test)
    assert f.c.sessions[0]["resources"] == {
        "cpu_cores": 2.5, "devices": [{"id": "0", "model": "A10", "memory_mb": 23028}, {"id": "1"}],
        "custom": {"licence": 2},
    }


def test_assignment_of_what_a_run_of_an_earlier_session_holds_is_declined() -> None:
    returned = threading.Event()

    async def test(f: Fixture) -> None:
        def reserve(workload: str, kind: str, share: float, licences: int) -> None:
            devices = [{"id": "gpu0", "share": share}] if share else []
            f.c.assign(kind, workload, resources={"gpus": share, "custom": {"licence": licences}}, devices=devices)

        reserve("wl_1", "deaf", 0.6, 1)
        await f.until("it runs", lambda: f.c.events("wl_1") == ["start"])
        first = f.c.session

        async def over(request: httpx.Request, message: Any) -> httpx.Response | None:
            return error(409, "FENCED") if message["session_id"] == first else None

        f.c.script["heartbeat"] = over
        await f.until("another session begins", lambda: len(f.c.sessions) == 2)
        reserve("wl_2", "noop", 0.5, 0)
        reserve("wl_3", "noop", 0, 2)
        reserve("wl_4", "noop", 0.4, 1)
        for w in ("wl_2", "wl_3"):
            await f.until("it is declined", lambda: f.c.events(w) == ["decline"])
        reasons = {r["reason"] for r in f.c.reports if r["event"] == "decline"}
        assert reasons == {"what it reserves is taken on the worker"}
        await f.until("this one fits beside it", lambda: f.c.events("wl_4") == ["start", "complete"])
        returned.set()
        await f.until("it has returned", lambda: not f.c.beat["inventory"])
        reserve("wl_5", "noop", 1, 2)
        await f.until("runs that have returned hold nothing", lambda: "complete" in f.c.events("wl_5"))

    f = Fixture(Coordinator(), slots=3, resources=WorkerResources(devices=[Device("gpu0")], custom={"licence": 2}))

    @f.worker.workload("deaf")
    def deaf(task: SyncTask[Any, None]) -> None:
        returned.wait(100)

    f.run(test)


@pytest.mark.smoke
@pytest.mark.parametrize("kind", ["hold", "hold-process"])
def test_two_tasks_that_need_a_gpu_each_get_different_ones(system: System, kind: str) -> None:
    system.worker(NIYANTA_WORKER_DEVICES="A10@left,A10@right")
    w = system.client.workloads
    one = Reservation(gpus=1, gpu_models=["A10"])
    ids = [w.submit(kind, {}, resources=one).workload_id for _ in range(2)]
    holds = [system.detail(id, "holds") for id in ids]
    assert sorted(h["devices"] for h in holds) == [[["left", 1]], [["right", 1]]]
    for h in holds:
        device = h["devices"][0][0]
        if kind == "hold-process":
            cuda, shares = h["shown"]
            assert cuda == device and json.loads(shares) == [{"id": device, "share": 1}]
        else:
            assert h["shown"] == [None, None], "a process with several runs sees all its devices"
    third = w.submit(kind, {}, resources=one).workload_id
    eventually("it waits for a GPU", lambda: "gpus" in str(w.placement(third).reasons))
    without = w.submit("hold-process", {}).workload_id
    assert system.detail(without, "holds") == {"devices": [], "shown": ["", "[]"]}
    w.cancel(ids[0])
    assert system.detail(third, "holds") == holds[0], "it gets the one that is free again"
    for id in (ids[1], third, without):
        w.cancel(id)


async def types(task: Task[Any, None]) -> None:
    assert task.devices == []


def test_kit_gives_no_devices() -> None:
    from niyanta.testing import Kit

    Kit(types).run({})
